"""How soon is a search as good as ``RandomizedSearchCV`` is after 100 configs?

    python benchmarks/evaluate/reach.py --write
    python benchmarks/evaluate/reach.py --only credit_g --estimators svm

Both search the same space of the same estimator on the same folds. Theirs runs 100 configs; ours runs until its best config, measured on all folds, scores at
least as much, or until 100 trials are over. Seconds are the processor's, of one process with one thread, the search's own thinking included, the last
fit not. ``HalvingRandomSearchCV`` stands beside them with the score it ends with on all rows.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any
from unittest.mock import patch

import ground  # noqa: F401
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier, LGBMRegressor
from provenance import RESULTS, data_set, markdown, provenance, stored, written
from scipy.stats import loguniform, randint, uniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, KFold, RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from staytuned.search import TuneSearchCV

TABLES = ("phoneme", "spambase", "magic_telescope", "pima_diabetes", "concrete", "abalone", "cpu_act", "wine_quality")
BOOSTING: Mapping[str, Any] = {
    "n_estimators": randint(10, 301),
    "learning_rate": loguniform(0.01, 0.3),
    "num_leaves": randint(4, 65),
    "min_child_samples": randint(2, 41),
    "colsample_bytree": uniform(0.4, 0.6),
    "reg_lambda": loguniform(1e-3, 10),
}
CONFIGS, FOLDS, ROWS = 100, 5, 1000


def estimator(name: str, classes: bool) -> tuple[Any, Mapping[str, Any]]:
    """An unfitted estimator and its space, as ``RandomizedSearchCV`` takes it."""
    if name == "lightgbm":
        return (LGBMClassifier if classes else LGBMRegressor)(random_state=0, n_jobs=1, verbose=-1, force_col_wise=True), BOOSTING
    machine = "svc" if classes else "svr"
    space = {f"{machine}__C": loguniform(1e-2, 1e3), f"{machine}__gamma": loguniform(1e-4, 1)}
    return make_pipeline(StandardScaler(), (SVC if classes else SVR)()), space if classes else space | {"svr__epsilon": loguniform(1e-3, 1)}


def table(name: str) -> tuple[Any, Any, bool]:
    """(n_rows, n_features), (n_rows,), whether it is to be classified. Regression targets are standardised."""
    path, entry = data_set(name)
    frame = pd.read_parquet(path)
    frame = frame.sample(min(ROWS, len(frame)), random_state=0)
    X = frame.drop(columns=entry["target"]).select_dtypes("number").fillna(-1).to_numpy(dtype=float)
    y = frame[entry["target"]].to_numpy()
    classes = entry["task"] != "regression"
    return X, y if classes else (y - y.mean()) / y.std(), classes


def reached(model: Any, space: Mapping[str, Any], X: Any, y: Any, cv: Any, scoring: str, score: float, seed: int) -> tuple[float, int, float]:
    """CPU seconds and trials until ours is as good, and the score it then has; infinite if it never was."""
    begun, at = time.process_time(), []

    class Reached(Exception):
        """Stops the search from within its scorer of trials."""

    def look(trial: Any, goal: Any) -> str:  # noqa: ARG001 - in the place of the line that is printed for each trial
        if trial.status == "done" and trial.scores["score"] >= score - 1e-12:
            at.append((time.process_time() - begun, trial.number + 1, trial.scores["score"]))
            raise Reached
        return ""

    search = TuneSearchCV(model, dict(space), trials=CONFIGS, scoring=scoring, cv=cv, random_state=seed, refit=False, verbose=1)
    with patch("staytuned.searching._line", look), redirect_stdout(StringIO()), suppress(Reached):
        search.fit(X, y)
    return at[0] if at else (float("inf"), CONFIGS, float("nan"))


def compared(name: str, data: str, seed: int) -> dict[str, Any]:
    """One estimator on one table."""
    X, y, classes = table(data)
    model, space = estimator(name, classes)
    cv = (StratifiedKFold if classes else KFold)(FOLDS, shuffle=True, random_state=0)
    scoring = "accuracy" if classes else "r2"
    begun = time.process_time()
    random = RandomizedSearchCV(model, dict(space), n_iter=CONFIGS, scoring=scoring, cv=cv, random_state=seed, refit=False).fit(X, y)
    random_seconds = time.process_time() - begun
    begun = time.process_time()
    halving = HalvingRandomSearchCV(model, dict(space), n_candidates=CONFIGS, scoring=scoring, cv=cv, random_state=seed, refit=False).fit(X, y)
    halving_seconds = time.process_time() - begun
    seconds, trials, score = reached(model, space, X, y, cv, scoring, random.best_score_, seed)
    row = {"estimator": name, "table": data, "metric": scoring, "random": random.best_score_, "random seconds": random_seconds}
    return row | {"halving": halving.best_score_, "halving seconds": halving_seconds, "seconds": seconds, "trials": trials, "score": score}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(TABLES), metavar="TABLE", help=f"data sets in STAYTUNED_DATA  [default: {' '.join(TABLES)}]")
    parser.add_argument("--estimators", nargs="+", default=["lightgbm", "svm"], choices=["lightgbm", "svm"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    rows = []
    for name in options.estimators:
        for data in options.only:
            rows.append(compared(name, data, options.seed))
            print(f"{name} on {data}: {rows[-1]['seconds'] / rows[-1]['random seconds']:.2f} of the time, {rows[-1]['trials']} trials", flush=True)
    made = provenance("evaluate/reach.py", arguments)
    headers = [
        "estimator",
        "table",
        "metric",
        "random: score",
        "CPU s",
        "halving: score",
        "CPU s",
        "ours as good after CPU s",
        "trials",
        "share of random's time",
    ]
    cells = [
        [
            *(
                r["estimator"],
                r["table"],
                r["metric"],
                f"{r['random']:.4f}",
                f"{r['random seconds']:.1f}",
                f"{r['halving']:.4f}",
                f"{r['halving seconds']:.1f}",
            ),
            *(f"{r['seconds']:.1f}", str(r["trials"]), f"{r['seconds'] / r['random seconds']:.2f}"),
        ]
        for r in rows
    ]
    medians = {name: np.median([r["seconds"] / r["random seconds"] for r in rows if r["estimator"] == name]) for name in options.estimators}
    said = "; ".join(f"{name}: {share:.2f}" for name, share in medians.items())
    text = f"{written(made)}\n\nMedian share of the time over tables: {said}.\n\n{markdown(headers, cells)}"
    print(text)
    if options.write:
        finite = [{name: None if value in (float("inf"), None) or value != value else value for name, value in row.items()} for row in rows]
        stored(RESULTS, "reach", {"made": made, "rows": finite, "medians": medians}, f"# As good as a random search of 100 configs\n\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
