import math

from staytuned.insight.cost import cost
from staytuned.trial import Cost, Measurement, Status, Trial


def trial(number, model, seconds, status=Status.DONE, started=0.0, memory=0):
    config = {} if model is None else {"model": model}
    return Trial(number, config, started=started, measurement=Measurement({}, status, cost=Cost(seconds, seconds / 2, memory)))


HISTORY = [
    trial(0, "svm", 4.0, started=100.0, memory=50),
    trial(1, "tree", 1.0, started=100.5, memory=90),
    trial(2, "svm", 2.0, Status.TIMEOUT, started=104.0),
    trial(3, "tree", 3.0, Status.PRUNED, started=101.5),
    Trial(4, {"model": "mlp"}, started=106.0),
]


def test_totals():
    found = cost(HISTORY)
    assert found.total.seconds == 10.0
    assert found.total.cpu_seconds == 5.0
    assert found.total.peak_memory == 90
    assert found.total.failed_share == 0.2
    assert found.total.pruned_share == 0.3
    assert found.total.by_status == {Status.RUNNING: 1, Status.DONE: 2, Status.PRUNED: 1, Status.TIMEOUT: 1}
    assert sum(found.total.by_status.values()) == found.total.trials == len(HISTORY)
    assert found.elapsed == 6.0
    assert found.rows == ()


def test_by_model_the_dearest_first():
    found = cost([*HISTORY, trial(5, None, 8.0)], by="model")
    assert [(row.value, row.seconds, row.trials) for row in found.rows] == [("svm", 6.0, 2), ("tree", 4.0, 2), ("mlp", 0.0, 1)]
    assert found.total.seconds == 18.0
    assert found.by == "model"


def test_true_and_one_are_two_values():
    assert [row.value for row in cost([trial(0, True, 2.0), trial(1, 1, 1.0)], by="model").rows] == [True, 1]


def test_values_that_cannot_be_hashed_are_grouped():
    assert [row.trials for row in cost([trial(0, [1, 2], 2.0), trial(1, [1, 2], 1.0)], by="model").rows] == [2]


def test_an_empty_history_cost_nothing():
    found = cost([], by="model")
    assert found.total.trials == 0
    assert found.total.failed_share == 0.0
    assert found.rows == ()
    assert math.isnan(found.elapsed)


def test_unknown_times_are_left_out():
    assert cost([trial(0, "svm", math.nan), trial(1, "svm", 1.0)]).total.seconds == 1.0
