"""What does racing folds save, and does it ever lose the winner? Complete tables of fold scores, raced again in shuffled orders.

    python benchmarks/evaluate/racing.py
    python benchmarks/evaluate/racing.py --only credit_g --orders 10 --no-store

100 random configs of each of three estimators are measured on all ten folds of eight real tables, once: the scores are kept in ``store``
and not computed again. Then each rule races them, 30 times, with configs and folds in another order each time.

A search proposes configs near the best, which are harder to tell from it. So `TuneSearchCV(method="auto")` also runs on six of the tables, with racing and
without, fits and all.
"""

from __future__ import annotations

import argparse
import sys
import time as clock
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ground  # noqa: F401
import numpy as np
import numpy.typing as npt
from provenance import RESULTS, data_set, markdown, provenance, stored, written

from staytuned.evaluate.race import Race
from staytuned.goal import Goal
from staytuned.protocols import Verdict
from staytuned.trial import Measurement, Reading, Status, Trial

Floats = npt.NDArray[np.float64]

STORE = Path(__file__).parent / "store"
TABLES = ("credit_g", "phoneme", "spambase", "vehicle", "kr_vs_kp", "pima_diabetes", "abalone", "concrete")
ESTIMATORS = ("linear", "tree", "lightgbm")
CONFIGS, FOLDS = 100, 10
SEARCH_TABLES, SEARCH_TRIALS = ("credit_g", "phoneme", "vehicle", "spambase", "kr_vs_kp", "pima_diabetes"), 60
DEVELOPED_ON = ("credit_g", "spambase", "kr_vs_kp", "abalone")
METRICS = ("log loss or root mean square error", "1 - ROC area or mean absolute error")
GOAL = Goal("loss", "min")
RULES: Mapping[str, Mapping[str, Any]] = {
    "predictive": {},
    "predictive, level .1": {"level": 0.1},
    "certain, normal differences": {"rule": "certain"},
    "certain, any differences": {"rule": "certain", "best": 0.0},
}


# the tables of fold scores


def fold_losses(name: str, estimator: str, rows: int, store: Path) -> Mapping[str, Floats]:
    """By metric (n_configs, n_folds), from the store, or measured and put there."""
    file = store / f"{name}-{estimator}-{rows}.npz"
    if not file.exists():
        began = clock.process_time()
        tables = _measured(name, estimator, rows)
        store.mkdir(parents=True, exist_ok=True)
        np.savez(file, **dict(zip(METRICS, tables, strict=True)))
        print(f"{name}, {estimator}: {CONFIGS * FOLDS} fits in {clock.process_time() - began:.0f} CPU s", flush=True)
    return dict(np.load(file))


def _measured(name: str, estimator: str, rows: int) -> Floats:
    from sklearn.model_selection import KFold, StratifiedKFold

    X, y = _table(name, rows)
    numbers = y.dtype == float
    splitter = (KFold if numbers else StratifiedKFold)(FOLDS, shuffle=True, random_state=0)
    splits = list(splitter.split(X, y))
    rng = np.random.default_rng(0)
    tables = np.empty((len(METRICS), CONFIGS, FOLDS))
    for config in range(CONFIGS):
        model = _configured(estimator, numbers, rng)
        for fold, (train, test) in enumerate(splits):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(X[train], y[train])
                tables[:, config, fold] = _losses(model, X[test], y[test], numbers)
    return tables


def _losses(model: Any, X: Floats, y: npt.NDArray[Any], numbers: bool) -> tuple[float, float]:
    """Log loss and 1 - ROC area (one against the rest); of numbers the root mean square and the mean absolute error."""
    from sklearn.metrics import log_loss, roc_auc_score

    if numbers:
        miss = model.predict(X) - y
        return float(np.sqrt(np.mean(miss**2))), float(np.mean(np.abs(miss)))
    chances = np.clip(model.predict_proba(X), 1e-3, None)
    chances /= chances.sum(axis=1, keepdims=True)
    area = roc_auc_score(y, chances[:, 1]) if chances.shape[1] == 2 else roc_auc_score(y, chances, multi_class="ovr")
    return float(log_loss(y, chances, labels=model.classes_)), float(1 - area)


def _table(name: str, rows: int) -> tuple[Floats, npt.NDArray[Any]]:
    """Columns as numbers, scaled; at most ``rows`` rows at random. The target is an integer per class, or a float."""
    import pandas as pd

    path, entry = data_set(name)
    frame = pd.read_parquet(path)
    frame = frame.sample(min(rows, len(frame)), random_state=0).reset_index(drop=True)
    target = frame.pop(entry["target"])
    X = pd.get_dummies(frame, dtype=float).to_numpy(dtype=float)
    X = np.where(np.isnan(X), np.nanmedian(X, axis=0), X)
    X = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    return X, target.to_numpy(dtype=float) if entry["task"] == "regression" else pd.factorize(target)[0]


def _configured(estimator: str, numbers: bool, rng: np.random.Generator) -> Any:
    if estimator == "linear":
        from sklearn.linear_model import ElasticNet, LogisticRegression

        if numbers:
            return ElasticNet(alpha=10 ** rng.uniform(-4, 1), l1_ratio=rng.uniform(), fit_intercept=bool(rng.random() < 0.9), max_iter=300)
        return LogisticRegression(C=10 ** rng.uniform(-5, 2), class_weight=rng.choice(np.array([None, "balanced"])), tol=1e-3, max_iter=60)
    if estimator == "tree":
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        make = DecisionTreeRegressor if numbers else DecisionTreeClassifier
        depth, leaf = int(rng.integers(1, 15)), int(2 ** rng.uniform(0, 6))
        return make(
            max_depth=depth,
            min_samples_leaf=leaf,
            max_features=rng.uniform(0.3, 1.0),
            ccp_alpha=0.0 if numbers else 10 ** rng.uniform(-5, -1.5),
            random_state=0,
        )
    from lightgbm import LGBMClassifier, LGBMRegressor

    return (LGBMRegressor if numbers else LGBMClassifier)(
        n_estimators=int(2 ** rng.uniform(2, 5.5)),
        learning_rate=10 ** rng.uniform(-2, -0.2),
        num_leaves=int(2 ** rng.uniform(1, 4)),
        min_child_samples=int(2 ** rng.uniform(1, 6)),
        subsample=rng.uniform(0.5, 1.0),
        subsample_freq=1,
        colsample_bytree=rng.uniform(0.4, 1.0),
        reg_lambda=10 ** rng.uniform(-3, 2),
        n_jobs=1,
        verbose=-1,
        random_state=0,
    )


# the races


@dataclass(frozen=True)
class Outcome:
    """One race.

    Args:
        fits: fold fits done, of ``n_configs * n_folds``.
        missed: whether a config better than the one chosen was dropped.
        regret: loss of the chosen config over all folds, less the best one's.
        noise: standard error of the difference between these two over folds; 0 where they are one.
    """

    fits: int
    missed: bool
    regret: float
    noise: float


def raced(table: Floats, race: Race, order: npt.NDArray[np.intp], folds: npt.NDArray[np.intp]) -> Outcome:
    history: list[Trial] = []
    fits = 0
    for config in order:
        peers, losses = race.brief(history), table[config, folds]
        seen = next((k for k in range(1, len(folds)) if race.judge(peers, _trial(config, losses[:k], Status.RUNNING)) is Verdict.STOP), len(folds))
        fits += seen
        status = Status.DONE if seen == len(folds) else Status.PRUNED
        history.append(_trial(config, losses[:seen], status))
    chosen = GOAL.best(history)
    assert chosen is not None
    means = table.mean(axis=1)
    best = int(means.argmin())
    regret = float(means[chosen.number] - means[best])
    gap = table[chosen.number] - table[best]
    return Outcome(fits, regret > 1e-12, max(regret, 0.0), float(gap.std(ddof=1) / np.sqrt(len(gap))))


def _trial(number: int, losses: Floats, status: Status) -> Trial:
    readings = tuple(Reading("fold", index, {"loss": float(loss)}) for index, loss in enumerate(losses))
    return Trial(int(number), {}, measurement=Measurement({"loss": float(losses.mean())}, status, readings=readings))


def replayed(table: Floats, orders: int) -> Iterator[tuple[str, Outcome]]:
    for rule, options in RULES.items():
        for number in range(orders):
            rng = np.random.default_rng([7, number])
            yield rule, raced(table, Race(GOAL, table.shape[1], **options), rng.permutation(len(table)), rng.permutation(table.shape[1]))


HEADERS = ("what", "rule", "fold fits saved", "best missed", "regret in standard errors: mean", "largest")


def _row(what: str, rule: str, outcomes: Sequence[Outcome], cells: int) -> list[str]:
    saved = 1 - np.mean([o.fits for o in outcomes]) / cells
    missed = sum(o.missed for o in outcomes)
    regrets = [o.regret / o.noise if o.noise else 0.0 for o in outcomes]
    return [what, rule, f"{100 * saved:.1f} %", f"{missed} of {len(outcomes)}", f"{np.mean(regrets):.3f}", f"{max(regrets):.2f}"]


# under a search


@dataclass(frozen=True)
class Search:
    """A search with racing beside one without.

    Args:
        fits: fold fits done by the one that races, of ``SEARCH_TRIALS * n_folds``.
        behind: loss of its best config, less that of the other's best, in standard errors of this difference over folds; 0 where both found the same.
        at_once: the same, when the other had done as many fits.
    """

    fits: int
    behind: float
    at_once: float


def searched(name: str, rows: int, estimator: str, seed: int) -> Search:
    from lightgbm import LGBMClassifier
    from sklearn.model_selection import StratifiedKFold
    from sklearn.tree import DecisionTreeClassifier

    from staytuned.search import TuneSearchCV
    from staytuned.space.dims import Float, Int

    X, y = _table(name, rows)
    tree = estimator == "tree"
    model = DecisionTreeClassifier(random_state=0) if tree else LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1, random_state=0)
    trees = {"max_depth": Int(1, 15), "min_samples_leaf": Int(1, 64, log=True), "max_features": Float(0.3, 1.0), "ccp_alpha": Float(1e-5, 0.03, log=True)}
    boosting = {
        "learning_rate": Float(0.01, 0.6, log=True),
        "num_leaves": Int(2, 16, log=True),
        "min_child_samples": Int(2, 64, log=True),
        "colsample_bytree": Float(0.4, 1.0),
        "reg_lambda": Float(1e-3, 100, log=True),
    }
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    fits, best, losses = [], [], []
    for race in (True, False):
        search = TuneSearchCV(
            model,
            trees if tree else boosting,
            trials=SEARCH_TRIALS,
            scoring="neg_log_loss",
            cv=cv,
            race=race,
            reuse=False,
            honest=False,
            refit=False,
            random_state=seed,
        )
        search.fit(X, y)
        fits.append(sum(len(trial.readings) for trial in search.trials_))
        losses.append(np.array([-search.cv_results_[f"split{fold}_test_score"] for fold in range(FOLDS)]).T)
        best.append(search.best_index_)
    ours, others = losses[0][best[0]], losses[1]
    return Search(fits[0], _behind(ours, others[best[1]]), _behind(ours, others[others[: fits[0] // FOLDS].mean(axis=1).argmin()]))


def _behind(ours: Floats, other: Floats) -> float:
    gap = ours - other
    noise = float(gap.std(ddof=1)) / np.sqrt(len(gap))
    return float(gap.mean()) / noise if noise else 0.0


SEARCH_HEADERS = ("search by auto", "fold fits saved", "searches", "loss behind the search without racing: mean", "largest", "after as many fits: mean")


def _search_row(what: str, searches: Sequence[Search]) -> list[str]:
    saved = 1 - np.mean([s.fits for s in searches]) / (SEARCH_TRIALS * FOLDS)
    behind, at_once = [s.behind for s in searches], [s.at_once for s in searches]
    return [what, f"{100 * saved:.1f} %", str(len(searches)), _mean(behind), f"{max(behind):+.2f}", _mean(at_once)]


def _mean(values: Sequence[float]) -> str:
    doubt = f" (standard error {np.std(values, ddof=1) / np.sqrt(len(values)):.2f})" if len(values) > 2 else ""
    return f"{np.mean(values):+.2f}{doubt}"


def main(arguments: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="racing.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=TABLES, metavar="NAME", help="data sets in STAYTUNED_DATA")
    parser.add_argument("--orders", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=2, help="of each search; 0 leaves the searches out")
    parser.add_argument("--rows", type=int, default=2000, help="at most, of each table")
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--name", default="racing", help="of the result")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--no-store", action="store_true", help="print only")
    options = parser.parse_args(words)
    made = provenance("evaluate/racing.py", words)
    found: dict[tuple[str, str, str], dict[str, list[Outcome]]] = {}
    for name in options.only:
        for estimator in ESTIMATORS:
            for metric, table in fold_losses(name, estimator, options.rows, options.store).items():
                for rule, outcome in replayed(table, options.orders):
                    found.setdefault((metric, estimator, name), {}).setdefault(rule, []).append(outcome)
    cells = CONFIGS * FOLDS
    halves = {"all": options.only, "developed on": DEVELOPED_ON, "confirmed on": tuple(set(TABLES) - set(DEVELOPED_ON))}
    overall = [
        _row(f"{half}: {m}", rule, outcomes, cells)
        for m in METRICS
        for rule in RULES
        for half, names in halves.items()
        if (outcomes := [o for key, rules in found.items() if key[0] == m and key[2] in names for o in rules[rule]])
    ]
    parts = [_row(f"{estimator}, {name}: {metric}", rule, outcomes, cells) for (metric, estimator, name), by in found.items() for rule, outcomes in by.items()]
    kinds = [(name, kind) for name in SEARCH_TABLES if name in options.only for kind in ("tree", "lightgbm")]
    searches = {f"{kind}, {name}": [searched(name, options.rows, kind, seed) for seed in range(options.seeds)] for name, kind in kinds if options.seeds}
    told = [_search_row(what, each) for what, each in {"all": [s for each in searches.values() for s in each], **searches}.items()] if searches else []
    search_text = [ABOUT_SEARCH, markdown(SEARCH_HEADERS, told)] if told else []
    text = "\n\n".join([f"`{written(made)}`", ABOUT, markdown(HEADERS, overall), *search_text, markdown(HEADERS, parts)])
    print(f"\n{text}")
    if not options.no_store:
        runs = [dict(zip(HEADERS, row, strict=True)) for row in [*overall, *parts]] + [dict(zip(SEARCH_HEADERS, row, strict=True)) for row in told]
        stored(options.results, options.name, {"provenance": made, "runs": runs}, f"# Racing folds\n\n{text}")


ABOUT = """100 random configs, 10 folds, configs and folds in a new order in each race. *Best missed* counts the races that end with a config
worse than the best of the complete table; *regret* is by how much it is worse, in standard errors over folds of the difference between the two.
The form of the predictive rule was chosen on the tables *developed on*. Its level was not: a first look at the others, at what is level .1 here, missed
the best in 14 of 240 races, and the level was halved for that. So *confirmed on* is a fresh test of the form, and not of the level."""
ABOUT_SEARCH = f"""Real searches, not replays: `TuneSearchCV(method="auto", trials={SEARCH_TRIALS})`, 10 folds, log loss, reuse off, with `race=True`
(the predictive rule) and with `race=False`, same seeds. Losses are compared in standard errors over folds of the difference between the two best configs; below
0 racing ended ahead. *After as many fits* is the search without racing when it had done as many fold fits as the one that races did in all. The two go
different ways after the first config that was dropped, so these columns hold the luck of the search too. Racing saves less here than among random
configs: a good search proposes what is hard to tell from the best."""


if __name__ == "__main__":
    main()
