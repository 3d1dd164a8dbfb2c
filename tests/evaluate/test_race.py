"""Races: what they save, what they may cost, and that a worker's view decides as the whole history would."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from staytuned.errors import UsageError
from staytuned.evaluate.race import Race
from staytuned.goal import Goal
from staytuned.protocols import Scheduler, Verdict
from staytuned.trial import Measurement, Reading, Status, Trial

GOAL = Goal("score", "max")


def trial(number: int, scores: list[float], status: Status = Status.DONE, metric: str = "score", mean: float | None = None) -> Trial:
    readings = tuple(Reading("fold", index, {metric: score}) for index, score in enumerate(scores))
    return Trial(number, {"c": number}, measurement=Measurement({metric: float(np.mean(scores)) if mean is None else mean}, status, readings=readings))


def running(number: int, scores: list[float]) -> Trial:
    return trial(number, scores, Status.RUNNING)


PAST = [trial(0, [0.8, 0.7, 0.9, 0.8, 0.8]), trial(1, [0.79, 0.70, 0.88, 0.80, 0.78])]


@dataclass
class Outcome:
    best: int
    folds: int
    dropped: int
    wrongly: int


def raced(table: npt.NDArray[np.float64], order: list[int], race: Race) -> Outcome:
    """Configs of a table (n_configs, n_folds) of scores, raced in this order."""
    history: list[Trial] = []
    outcome = Outcome(-1, 0, 0, 0)
    for config in order:
        peers, seen, stopped = race.brief(history), 0, False
        while seen < table.shape[1] and not stopped:
            seen += 1
            stopped = seen < table.shape[1] and race.judge(peers, running(config, list(table[config, :seen]))) is Verdict.STOP
        outcome.folds += seen
        if stopped:
            incumbent = GOAL.best(history)
            assert incumbent is not None
            outcome.dropped += 1
            outcome.wrongly += bool(table[config].mean() > GOAL.score(incumbent))
            estimate = race.estimate(peers, running(config, list(table[config, :seen])))
            history.append(trial(config, list(table[config, :seen]), Status.PRUNED, mean=estimate))
        else:
            history.append(trial(config, list(table[config])))
    best = GOAL.best(history)
    assert best is not None
    outcome.best = best.number
    return outcome


def simulated(seeds: int, configs: int, folds: int, between: float, noise: float) -> list[tuple[Outcome, npt.NDArray[np.float64]]]:
    runs = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, folds])
        ability = rng.normal(0, between, (configs, 1)) - np.abs(rng.normal(0, between, (configs, 1)))
        table = 0.8 + ability + rng.normal(0, 0.03, (1, folds)) + rng.normal(0, noise, (configs, folds))
        runs.append((raced(table, list(rng.permutation(configs)), Race(GOAL, folds)), table))
    return runs


def test_fits_the_seam() -> None:
    assert isinstance(Race(GOAL, 5), Scheduler)


def test_stops_what_is_clearly_behind() -> None:
    assert Race(GOAL, 5).judge(PAST, running(2, [0.3, 0.2])) is Verdict.STOP


def test_one_fold_is_enough_where_past_races_tell_the_scatter() -> None:
    assert Race(GOAL, 5).judge(PAST, running(2, [0.1])) is Verdict.STOP
    assert Race(GOAL, 5).judge(PAST[:1], running(2, [0.1])) is Verdict.GO_ON


def test_what_scores_like_the_incumbent_is_held_to_a_smaller_scatter() -> None:
    """The same shortfall on one fold: chance where configs that near scattered as much, beyond it where only far ones did."""
    rng = np.random.default_rng(1)
    best, noise = rng.uniform(0.8, 0.9, 10), [rng.normal(0, 1, 10) for _ in range(20)]
    far = [trial(n, list(best - 0.3 - 0.05 * e)) for n, e in enumerate(noise, 1)]
    near = [trial(n, list(best - 0.02 - 0.002 * e)) for n, e in enumerate(noise, 21)]
    scattered = [trial(n, list(best - 0.02 - 0.05 * e)) for n, e in enumerate(noise, 21)]
    challenger, race = running(99, [best[0] - 0.02]), Race(GOAL, 10)
    assert race.judge([trial(0, list(best)), *far, *near], challenger) is Verdict.STOP
    assert race.judge([trial(0, list(best)), *far, *scattered], challenger) is Verdict.GO_ON


def test_the_last_folds_are_spared_only_what_is_nearly_certain() -> None:
    """The error a stop may make falls with the folds it saves: with the same evidence left, early stops and late does not."""
    rng = np.random.default_rng(2)
    best = rng.uniform(0.8, 0.9, 10)
    past = [trial(0, list(best)), *(trial(n, list(best - 0.1 - rng.normal(0, 0.02, 10))) for n in range(1, 61))]
    line = np.linspace(0.0, 0.2, 201)

    def least(seen: int) -> float:
        """Evidence, in standard errors, from which on it stops."""
        wave = 0.02 * np.resize([1.0, -1.0], seen)
        gap = next(g for g in line if Race(GOAL, 10).judge(past, running(99, list(best[:seen] - g - wave))) is Verdict.STOP)
        return float(gap / (0.02 * np.sqrt(1 / seen - 1 / 10)))

    assert least(2) < least(8)


def test_lets_go_on_what_is_ahead_or_level() -> None:
    race = Race(GOAL, 5)
    assert race.judge(PAST, running(2, [0.9, 0.8])) is Verdict.GO_ON
    assert race.judge(PAST, running(2, [0.8, 0.7])) is Verdict.GO_ON


@pytest.mark.parametrize(
    ("history", "scores"),
    [
        ([], [0.1, 0.1]),  # nobody to race against
        (PAST[:1], [0.1, 0.1]),  # no past race tells the noise
        (PAST, [0.78]),  # a little behind on one fold
        (PAST, [0.1] * 5),  # nothing left to save
        (PAST, [float("nan"), 0.1, 0.1]),  # a fold without a score
        ([trial(0, [0.9, 0.9]), *PAST[1:]], [0.1, 0.1]),  # the incumbent was measured on other folds
    ],
)
def test_goes_on_where_it_cannot_judge(history: list[Trial], scores: list[float]) -> None:
    assert Race(GOAL, 5).judge(history, running(9, scores)) is Verdict.GO_ON


def test_a_minimised_metric_is_the_mirror_image() -> None:
    race = Race(Goal("score", "min"), 5)
    assert race.judge(PAST, running(2, [1.5, 1.4])) is Verdict.STOP
    assert race.judge(PAST, running(2, [0.3, 0.2])) is Verdict.GO_ON


def test_what_makes_a_fold_hard_cancels() -> None:
    """Always a little behind on folds that differ a lot: hopeless in pairs, though its mean is within the folds' scatter."""
    folds = np.array([0.2, 0.9, 0.5, 0.7, 0.3])
    history = [trial(0, list(folds)), trial(1, list(folds - [0.021, 0.019, 0.02, 0.018, 0.022]))]
    assert Race(GOAL, 5).judge(history, running(2, list(folds[:3] - [0.02, 0.021, 0.019]))) is Verdict.STOP


def test_the_estimate_moves_the_incumbents_mean_by_the_paired_difference() -> None:
    race = Race(GOAL, 5)
    assert race.estimate(PAST, running(2, [0.7, 0.6])) == pytest.approx(0.8 - 0.1)
    assert Race(Goal("score", "min"), 5).estimate(PAST, running(2, [0.89, 0.80])) == pytest.approx(0.79 + 0.1)
    assert race.estimate([], running(0, [0.7, 0.6])) == pytest.approx(0.65)


def test_the_brief_decides_as_the_whole_history() -> None:
    rng = np.random.default_rng(0)
    race = Race(GOAL, 5)
    history = [trial(0, [0.95, 0.94, 0.96, 0.93, 0.95])]
    history += [trial(n, list(rng.normal(0.8, 0.05, 5 if n % 3 else 2)), Status.DONE if n % 3 else Status.PRUNED) for n in range(1, 90)]
    history.append(Trial(90, {}, measurement=Measurement(status=Status.FAILED)))
    brief = race.brief(history)
    assert len(brief) < len(history)
    for scores in rng.normal(0.9, 0.06, (40, 3)):
        challenger = running(91, list(scores))
        assert race.judge(brief, challenger) is race.judge(history, challenger)
        assert race.estimate(brief, challenger) == race.estimate(history, challenger)


@pytest.mark.parametrize(("between", "noise", "saved"), [(0.05, 0.01, 0.4), (0.01, 0.03, 0.2)])
def test_of_those_dropped_fewer_than_one_in_twenty_would_have_won(between: float, noise: float, saved: float) -> None:
    """The stated level, whether configs differ a lot or hardly; and most of the folds' time is saved."""
    runs = simulated(12, 15, 5, between, noise)
    dropped, wrongly = sum(o.dropped for o, _ in runs), sum(o.wrongly for o, _ in runs)
    assert dropped > 60
    assert wrongly / dropped < Race(GOAL, 5).level
    assert sum(o.folds for o, _ in runs) < (1 - saved) * 12 * 15 * 5


def scattering(law: str, rng: np.random.Generator, configs: int, folds: int) -> npt.NDArray[np.float64]:
    """(n_configs, n_folds) of scores: half-normal gaps to the best, and noise of this law around them."""
    gaps = np.abs(rng.normal(0, 0.05, (configs, 1)))
    if law == "heavy-tailed":
        noise = 0.03 * rng.standard_t(3, (configs, folds)) / np.sqrt(3)
    elif law == "wider the further":
        noise = (0.003 + 0.3 * gaps) * rng.normal(size=(configs, folds))
    else:
        noise = 0.03 * rng.normal(size=(configs, folds))
    return 0.8 - gaps + rng.normal(0, 0.03, (1, folds)) + noise


@pytest.mark.slow
@pytest.mark.parametrize("law", ["normal", "heavy-tailed", "wider the further"])
def test_the_level_holds_whatever_the_law_of_the_scatter(law: str) -> None:
    """Of those dropped fewer than ``level`` would have ended ahead, up to chance; at 20 % so that it can be seen, and half of the fits are saved."""
    race, folds, dropped, wrongly, done = Race(GOAL, 10, level=0.2), 10, 0, 0, 0
    for seed in range(20):
        rng = np.random.default_rng([seed, 11])
        outcome = raced(scattering(law, rng, 30, folds), list(range(30)), race)
        dropped, wrongly, done = dropped + outcome.dropped, wrongly + outcome.wrongly, done + outcome.folds
    assert dropped > 300
    assert wrongly / dropped < race.level
    assert done < 0.5 * 20 * 30 * folds


@pytest.mark.slow
@pytest.mark.parametrize("law", ["normal", "heavy-tailed", "wider the further"])
def test_one_as_good_as_the_incumbent_is_stopped_no_more_often_than_a_look_may(law: str) -> None:
    """The claim itself, at each look: the share of races in which a challenger level with the incumbent over all folds would be stopped there."""
    folds, level, races = 6, 0.2, 400
    race, stops = Race(GOAL, folds, level), np.zeros(folds)
    for seed in range(races):
        rng = np.random.default_rng([seed, 12])
        table = scattering(law, rng, 22, folds)
        best = int(table.mean(axis=1).argmax())
        history = [trial(n, list(row)) for n, row in enumerate(table)]
        noise = rng.standard_t(3, folds) / np.sqrt(3) if law == "heavy-tailed" else rng.standard_normal(folds)
        own = table[best] + (0.003 if law == "wider the further" else 0.03) * np.sqrt(2) * noise
        own += table[best].mean() - own.mean() + 1e-9
        stops += [race.judge(history, running(99, list(own[:k]))) is Verdict.STOP if k else False for k in range(folds)]
    shares, bound = stops[1:] / races, level * (folds - np.arange(1, folds)) / folds
    if law == "wider the further":
        bound[-1] *= 2  # this scatter has a floor, which a straight line does not know: .058 of the last looks, not .033
    assert np.all(shares <= bound + 2.5 * np.sqrt(bound * (1 - bound) / races)), shares
    assert shares[0] > level / 8  # the level is spent, not wasted


@pytest.mark.slow
@pytest.mark.parametrize("folds", [5, 10])
def test_the_eventual_best_survives_the_race(folds: int) -> None:
    """In at least 9 of 10 orders, even where configs differ less than folds do; where it falls, what wins is as good within a tenth of a fold's noise."""
    noise = 0.03
    runs = simulated(60, 30, folds, 0.01, noise)
    lost = [outcome.best != table.mean(axis=1).argmax() for outcome, table in runs]
    regret = [table.mean(axis=1).max() - table[outcome.best].mean() for outcome, table in runs]
    assert np.mean(lost) <= 0.1
    assert np.mean(regret) < 0.1 * noise


# rule="certain"

STEADY = [trial(0, [0.80, 0.71, 0.90, 0.82, 0.79, 0.75, 0.85, 0.77, 0.81, 0.83])]
NEARLY_PERFECT = [trial(0, [0.99] * 10)]


def test_certain_stops_what_is_clearly_behind_from_the_third_fold_on() -> None:
    race = Race(GOAL, 10, rule="certain")
    behind = [0.50, 0.42, 0.59]
    assert race.judge(STEADY, running(1, behind[:2])) is Verdict.GO_ON
    assert race.judge(STEADY, running(1, behind)) is Verdict.STOP
    assert race.judge(STEADY, running(1, [0.82, 0.72, 0.93])) is Verdict.GO_ON


def test_certain_needs_no_past_races_to_tell_the_noise() -> None:
    challenger = running(1, [0.50, 0.42, 0.59])
    assert Race(GOAL, 10).judge(STEADY, challenger) is Verdict.GO_ON
    assert Race(GOAL, 10, rule="certain").judge(STEADY, challenger) is Verdict.STOP


def test_differences_that_are_all_the_same_tell_nothing_of_their_scatter() -> None:
    assert Race(GOAL, 10, rule="certain").judge(NEARLY_PERFECT, running(1, [0.98] * 5)) is Verdict.GO_ON


def test_with_a_best_score_it_stops_what_not_even_perfect_folds_could_save() -> None:
    race = Race(GOAL, 10, rule="certain", best=1.0)
    assert race.judge(NEARLY_PERFECT, running(1, [0.85])) is Verdict.STOP  # at best .985
    assert race.judge(NEARLY_PERFECT, running(1, [0.97, 0.97])) is Verdict.GO_ON
    assert race.judge(STEADY, running(1, [0.50, 0.42, 0.59])) is Verdict.GO_ON  # the other folds could be perfect


@pytest.mark.parametrize("rule", [{}, {"rule": "certain"}, {"rule": "certain", "best": 0.0}])
def test_every_rule_judges_a_loss_by_the_brief_as_by_the_history(rule: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    race = Race(Goal("score", "min"), 6, **rule)
    history = [trial(n, list(rng.uniform(0.0, 0.3, 6))) for n in range(90)]
    verdicts = []
    for _ in range(60):
        challenger = running(91, list(rng.uniform(0.0, 1.0) * rng.uniform(0.5, 1.0, 4)))
        verdicts.append(race.judge(history, challenger))
        assert race.judge(race.brief(history), challenger) is verdicts[-1]
    assert Verdict.GO_ON in verdicts
    assert Verdict.STOP in verdicts


@pytest.mark.parametrize(("law", "options"), [("normal", {}), ("wild", {"best": 1.0})])
def test_the_winner_is_dropped_no_more_often_than_the_level(law: str, options: dict[str, Any]) -> None:
    """Against an incumbent as good as itself to the last digit, which is the hardest; at 20 % so that it can be seen."""
    rng, folds, level, races = np.random.default_rng(4), 8, 0.2, 600
    race = Race(GOAL, folds, level, "certain", **options)
    dropped = 0
    for _ in range(races):
        noise = rng.normal(size=folds) if law == "normal" else rng.permutation([-5.0, *[1.0] * (folds - 1)])
        differences = 0.01 * (noise - noise.mean())
        rival = np.full(folds, 0.97) if law == "wild" else rng.uniform(0.7, 0.9, folds)
        history = [trial(0, list(rival))]
        own = list(rival - differences + 1e-9)
        dropped += any(race.judge(history, running(1, own[:k])) is Verdict.STOP for k in range(1, folds))
    assert dropped / races <= level + 2.5 * np.sqrt(level * (1 - level) / races)
    assert law == "wild" or dropped / races > level / 2  # the level is spent, not wasted


@pytest.mark.parametrize("options", [{"rule": "sure"}, {"level": 1.0}, {"best": 1.0}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Race(GOAL, 5, **options)


def test_a_best_score_that_was_beaten_is_refused() -> None:
    with pytest.raises(UsageError, match=r"best=0\.8 is not the best"):
        Race(GOAL, 10, rule="certain", best=0.8).judge(STEADY, running(1, [0.5, 0.4, 0.6]))


def test_level_zero_stops_nothing() -> None:
    assert Race(GOAL, 5, level=0.0).judge(PAST, running(2, [0.3, 0.2])) is Verdict.GO_ON
    assert Race(GOAL, 10, level=0.0, rule="certain").judge(STEADY, running(1, [0.1, 0.2, 0.3])) is Verdict.GO_ON
