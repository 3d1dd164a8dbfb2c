"""What does a search lose that stops when what is left to gain is below the noise of its best score?

    python benchmarks/evaluate/enough.py --write
    python benchmarks/evaluate/enough.py --only concrete --seeds 1

Each search runs 100 trials on 5 folds of at most 1,000 rows, raced, and is then read again: after how many trials would it have stopped, how far is the best
score then from the best that any search of the same table found, in standard errors of that score, and what do the two winners score on rows that no search
saw? Beside it stands the published rule, the distance of two confidence bounds (Makarova et al. 2022), on the same model, with as many looks in a row.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ground  # noqa: F401
import numpy as np
import pandas as pd
from provenance import RESULTS, data_set, markdown, provenance, stored, written
from scipy.stats import loguniform, randint
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from staytuned.enough import left_to_gain, standard_error
from staytuned.goal import Goal
from staytuned.samplers._cube import Cube
from staytuned.samplers._evidence import Reader
from staytuned.samplers._gp import features
from staytuned.samplers._regret import Plain, scale_of
from staytuned.samplers._surface import Surfaces
from staytuned.search import TuneSearchCV
from staytuned.space.space import Space
from staytuned.trial import Trial

PROBLEMS = {"spambase": "svm", "pima_diabetes": "svm", "concrete": "tree", "abalone": "tree", "magic_telescope": "tree", "wine_quality": "tree"}
TRIALS, FOLDS, ROWS, UNSEEN = 100, 5, 1000, 3000
FIRST, EVERY, LOOKS = 20, 5, 3


@dataclass(frozen=True)
class Run:
    """A search that went to its end."""

    table: str
    estimator: str
    space: Space
    goal: Goal
    trials: Sequence[Trial]
    unseen: Callable[[Trial], float]

    @property
    def losses(self) -> list[float]:
        """The least loss after each trial."""
        done = [self.goal.loss(self.goal.score(trial)) if trial.status == "done" else math.inf for trial in self.trials]
        return np.minimum.accumulate(done).tolist()


def estimator(name: str, classes: bool) -> tuple[Any, Mapping[str, Any]]:
    """An unfitted estimator and its space."""
    if name == "tree":
        space: dict[str, Any] = {"max_depth": randint(1, 31), "min_samples_leaf": randint(1, 61), "min_samples_split": randint(2, 101)}
        return (DecisionTreeClassifier if classes else DecisionTreeRegressor)(random_state=0), space | {"max_features": [0.3, 0.5, 0.7, 1.0]}
    machine = "svc" if classes else "svr"
    space = {f"{machine}__C": loguniform(1e-2, 1e3), f"{machine}__gamma": loguniform(1e-4, 1)}
    return make_pipeline(StandardScaler(), (SVC if classes else SVR)()), space if classes else space | {"svr__epsilon": loguniform(1e-3, 1)}


def searched(table: str, seed: int) -> Run:
    """One search of 100 trials."""
    path, entry = data_set(table)
    frame = pd.read_parquet(path)
    frame = frame.sample(min(ROWS + UNSEEN, len(frame)), random_state=0)
    X = frame.drop(columns=entry["target"]).select_dtypes("number").fillna(-1).to_numpy(dtype=float)
    y = frame[entry["target"]].to_numpy()
    classes = entry["task"] != "regression"
    y = y if classes else (y - y.mean()) / y.std()
    rows = min(ROWS, 2 * len(y) // 3)
    model, space = estimator(PROBLEMS[table], classes)
    cv = (StratifiedKFold if classes else KFold)(FOLDS, shuffle=True, random_state=0)
    scoring = "roc_auc" if classes else "r2"
    search = TuneSearchCV(model, dict(space), trials=TRIALS, scoring=scoring, cv=cv, random_state=seed, refit=False, reuse=False, honest=False)
    search.fit(X[:rows], y[:rows])

    def unseen(trial: Trial) -> float:
        fitted = clone(model).set_params(**trial.config).fit(X[:rows], y[:rows])
        return float(get_scorer(scoring)(fitted, X[rows:], y[rows:]))

    return Run(table, PROBLEMS[table], search.study_.space, search.study_.goal, search.study_.trials, unseen)


def by_draws(run: Run) -> Callable[[Sequence[Trial]], float]:
    """The bound of ours after so many trials."""

    def bound(trials: Sequence[Trial]) -> float:
        left = left_to_gain(trials, run.goal, run.space)
        return math.inf if left is None else left.gain

    return bound


def by_bounds(run: Run) -> Callable[[Sequence[Trial]], float]:
    """The published bound: the least upper confidence bound of what was tried less the least lower one of 4,096 points and what was tried."""
    cube = Cube(run.space)
    surfaces, reader = Surfaces(cube, 200, 0), Reader(cube, run.goal)
    anywhere = cube.snap(np.random.default_rng(0).random((4096, len(run.space))))

    def bound(trials: Sequence[Trial]) -> float:
        evidence = reader.read(list(trials))
        model = surfaces.posterior(evidence, evidence, Plain())
        width = math.sqrt(2 * math.log(len(run.space) * len(trials) ** 2 * math.pi**2 / (6 * 0.1)) / 5)
        mean, deviation = model.predict(features(model.plan, np.vstack([anywhere, evidence.rows])))
        tried = slice(len(anywhere), None)
        return scale_of(evidence.losses)[1] * float((mean + width * deviation)[tried].min() - (mean - width * deviation).min())

    return bound


def stop(run: Run, bound: Callable[[Sequence[Trial]], float]) -> int | None:
    """After how many trials the bound was below the noise at three looks in a row; None if never."""
    agreed = 0
    for count in range(max(FIRST, EVERY * len(run.space)), TRIALS + 1, EVERY):
        best = run.goal.best(run.trials[:count])
        below = best is not None and bound(run.trials[:count]) <= standard_error(best, run.goal.metric)[0]
        agreed = agreed + 1 if below else 0
        if agreed == LOOKS:
            return count
    return None


def row(run: Run, best: float, rule: str, bound: Callable[[Sequence[Trial]], float]) -> dict[str, Any]:
    """What one rule would have done to one search."""
    begun = time.process_time()
    count = stop(run, bound)
    seconds = time.process_time() - begun
    early, late = run.goal.best(run.trials[: count or TRIALS]), run.goal.best(run.trials)
    assert early is not None
    assert late is not None
    noise = standard_error(early, run.goal.metric)[0]
    return {
        "estimator": run.estimator,
        "table": run.table,
        "rule": rule,
        "trials": count,
        "score": run.goal.score(early),
        "score at the end": run.goal.score(late),
        "noise": noise,
        "regret": (run.goal.loss(run.goal.score(early)) - best) / noise,
        "unseen": run.unseen(early),
        "unseen at the end": run.unseen(late),
        "CPU s": seconds,
    }


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS), metavar="TABLE", help="data sets in STAYTUNED_DATA  [default: all]"
    )
    parser.add_argument("--seeds", type=int, default=2, help="searches of each table  [default: %(default)s]")
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    rows = []
    for table in options.only:
        runs = [searched(table, seed) for seed in range(options.seeds)]
        best = min(min(run.losses) for run in runs)
        for run in runs:
            for rule, make in (("draws", by_draws), ("bounds", by_bounds)):
                rows.append(row(run, best, rule, make(run)))
                print(f"{table}, {rule}: {rows[-1]['trials'] or 'no'} trials, regret {rows[-1]['regret']:.2f} of the noise", flush=True)
    made = provenance("evaluate/enough.py", arguments)
    headers = ["estimator", "table", "rule", "stopped after", "score", "after 100", "noise", "regret / noise", "on unseen rows", "after 100"]
    cells = [
        [
            *(r["estimator"], r["table"], r["rule"], str(r["trials"] or "never"), f"{r['score']:.4f}", f"{r['score at the end']:.4f}"),
            *(f"{r['noise']:.4f}", f"{r['regret']:.2f}", f"{r['unseen']:.4f}", f"{r['unseen at the end']:.4f}"),
        ]
        for r in rows
    ]
    said = [summary(rule, [r for r in rows if r["rule"] == rule]) for rule in ("draws", "bounds")]
    text = f"{written(made)}\n\n" + "\n".join(said) + f"\n\n{markdown(headers, cells)}"
    print(text)
    if options.write:
        stored(RESULTS, "enough", {"made": made, "rows": rows}, f"# Stopping when what is left to gain is below the noise\n\n{text}")


def summary(rule: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The rule in a sentence."""
    stopped = [r for r in rows if r["trials"] is not None]
    if not stopped:
        return f"- {rule}: stopped none of {len(rows)} searches."
    lost = np.mean([r["unseen at the end"] - r["unseen"] for r in stopped])
    return (
        f"- {rule}: stopped {len(stopped)} of {len(rows)} searches, after {np.median([r['trials'] for r in stopped]):.0f} trials in the median; regret "
        f"{np.mean([r['regret'] for r in stopped]):.2f} of the noise on average, {max(r['regret'] for r in stopped):.2f} at most, above it in "
        f"{sum(r['regret'] > 1 for r in stopped)}; on unseen rows {lost:+.4f} was left behind on average."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
