"""Quick scores are scikit-learn's own, bit by bit, and whatever is unusual goes to scikit-learn."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, get_scorer, make_scorer, r2_score

from staytuned.evaluate import quick
from staytuned.evaluate.quick import scored

METRICS = ["r2", "neg_mean_squared_error", "neg_root_mean_squared_error", "neg_mean_absolute_error"]
X = np.zeros((50, 2))


class Says(RegressorMixin, BaseEstimator):
    def __init__(self, said):
        self.said = said

    def predict(self, X):  # noqa: ARG002
        return self.said


class Names(ClassifierMixin, BaseEstimator):
    def __init__(self, said):
        self.said = said

    @property
    def classes_(self):
        return np.unique(self.said)

    def predict(self, X):  # noqa: ARG002
        return self.said


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(quick, "_sure", {})


class Watched:
    """A scorer whose calls are counted."""

    def __init__(self, scorer):
        self.__dict__ |= vars(scorer)
        self.scorer, self.calls = scorer, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.scorer(*args, **kwargs)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("whole", [False, True])
def test_regression(metric, whole):
    scorer = Watched(get_scorer(metric))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = int(rng.integers(2, 3000))
        y = rng.integers(-5, 5, rows) if whole else rng.standard_normal(rows) * 10.0 ** rng.integers(-8, 8)
        model = Says(y + rng.standard_normal(rows))
        assert scored(scorer, model, X, y) == scorer.scorer(model, X, y)
    assert scorer.calls == 1  # the first was compared, all others were ours


@pytest.mark.parametrize("kind", ["numbers", "names", "objects", "truths"])
def test_accuracy(kind):
    scorer = Watched(get_scorer("accuracy"))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels = {
            "numbers": np.arange(3),
            "names": np.array(["a", "bb", "c"]),
            "objects": np.array(["a", "bb"], dtype=object),
            "truths": np.array([True, False]),
        }
        y, said = rng.choice(labels[kind], (2, int(rng.integers(2, 3000))))
        assert scored(scorer, Names(said), X, y) == scorer.scorer(Names(said), X, y)
    assert scorer.calls == 1


@pytest.mark.parametrize("y", [np.ones(9), np.array([1.0, 1.0, 1.0])])
def test_a_target_that_does_not_vary(y):
    scorer = Watched(get_scorer("r2"))
    rng = np.random.default_rng(0)
    assert scored(scorer, Says(rng.standard_normal(len(y))), X, y) == 0.0
    assert scored(scorer, Says(y.copy()), X, y) == 1.0


def test_what_is_unusual_goes_to_scikit_learn():
    y = np.linspace(0, 1, 9)
    with pytest.raises(ValueError, match="NaN"):
        scored(get_scorer("r2"), Says(np.full(9, np.nan)), X, y)
    assert scored(get_scorer("r2"), Says(y.tolist()), X, y.tolist()) == 1.0
    assert scored(get_scorer("r2"), Says(np.stack([y, y], 1)), X, np.stack([y, y], 1)) == 1.0
    assert scored(get_scorer("r2"), Says(y.astype(np.float32)), X, y) == get_scorer("r2")(Says(y.astype(np.float32)), X, y)
    with pytest.raises(ValueError, match="continuous"):
        scored(get_scorer("accuracy"), Names(y), X, y)
    doubled = make_scorer(lambda y, said: 2 * r2_score(y, said))
    assert scored(doubled, Says(y), X, y) == 2.0
    raw = make_scorer(accuracy_score, normalize=False)
    assert scored(raw, Names(np.arange(9)), X, np.arange(9)) == 9
    assert scored(lambda estimator, X, y: 7, Says(y), X, y) == 7  # noqa: ARG005


def test_one_that_differs_is_not_used_again(monkeypatch):
    monkeypatch.setitem(quick._OURS, r2_score, lambda y, said: 0.123)  # noqa: ARG005
    scorer, y = Watched(get_scorer("r2")), np.linspace(0, 1, 9)
    assert [scored(scorer, Says(y.copy()), X, y) for _ in range(3)] == [1.0] * 3
    assert scorer.calls == 3
