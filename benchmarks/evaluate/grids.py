"""The same grid on the same folds by ``GridSearchCV`` and by ``TuneSearchCV(method="grid")``: how much faster, and are the scores the same?

    python benchmarks/evaluate/grids.py --write
    python benchmarks/evaluate/grids.py --only "100 ridge alphas" --repeats 1

Each case is timed in turns, ours and scikit-learn's, in one process with one BLAS thread; the ratio is that of the medians, beside the smallest and the
largest ratio of a turn. The difference is the largest between any two scores of any config and fold.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import numpy.typing as npt
import pandas as pd
from lightgbm import LGBMClassifier
from provenance import RESULTS, data_set, markdown, provenance, stored, written
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from staytuned.search import TuneSearchCV

FOLDS = 5


@dataclass(frozen=True)
class Case:
    """One grid.

    Args:
        name: what is tuned.
        data: the table's name in STAYTUNED_DATA.
        rows: at most.
        make: the estimator.
        grid: as GridSearchCV takes it.
        scoring: the metric.
        goal: the bar: so many times faster.
    """

    name: str
    data: str
    rows: int
    make: Callable[[], Any]
    grid: Mapping[str, Sequence[Any]]
    scoring: str
    goal: float


TREES = list(range(10, 201, 10))
CASES = [
    Case("20 n_estimators of a random forest", "spambase", 4000, lambda: RandomForestClassifier(random_state=0), {"n_estimators": TREES}, "accuracy", 9),
    Case("20 n_estimators of gradient boosting", "spambase", 4000, lambda: GradientBoostingClassifier(random_state=0), {"n_estimators": TREES}, "roc_auc", 9),
    Case(
        "20 max_iter of HistGradientBoosting",
        "spambase",
        4000,
        lambda: HistGradientBoostingClassifier(random_state=0, early_stopping=False),
        {"max_iter": TREES},
        "roc_auc",
        9,
    ),
    Case("20 n_estimators of LightGBM", "spambase", 4000, lambda: LGBMClassifier(random_state=0, verbose=-1, n_jobs=1), {"n_estimators": TREES}, "roc_auc", 9),
    Case("50 k of nearest neighbours", "magic_telescope", 4000, KNeighborsClassifier, {"n_neighbors": list(range(1, 51))}, "accuracy", 30),
    Case("50 k of nearest neighbours, whole numbers", "letter", 4000, KNeighborsClassifier, {"n_neighbors": list(range(1, 51))}, "accuracy", 30),
    Case("100 ridge alphas", "pol", 4000, Ridge, {"alpha": np.logspace(-4, 4, 100).tolist()}, "r2", 15),
]
PREPARED = Case(
    "20 C behind a costly preparation",
    "spambase",
    2000,
    lambda: make_pipeline(StandardScaler(), SelectKBest(_informative, k=20), LogisticRegression(max_iter=200)),
    {"logisticregression__C": np.logspace(-3, 3, 20).tolist()},
    "roc_auc",
    1 / 1.3,
)


def _informative(X: Any, y: Any) -> Any:
    return mutual_info_classif(X, y, random_state=0)


def table(case: Case) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """(n_rows, n_features), (n_rows,): a draw of the rows, columns that are no numbers left out."""
    path, entry = data_set(case.data)
    frame = pd.read_parquet(path)
    frame = frame.sample(min(case.rows, len(frame)), random_state=0)
    return frame.drop(columns=entry["target"]).select_dtypes("number").to_numpy(dtype=float), frame[entry["target"]].to_numpy()


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()  # one process, one thread: what is busy beside it counts for neither
    found = work()
    return time.process_time() - began, found


def by_fold(results: Mapping[str, Any], names: Sequence[str]) -> dict[tuple[Any, ...], list[float]]:
    """Config to its scores by fold."""
    splits = [key for key in results if key.startswith("split") and "_test_" in key]
    return {tuple(params[n] for n in names): [results[key][row] for key in splits] for row, params in enumerate(results["params"])}


def compared(case: Case, repeats: int) -> dict[str, Any]:
    """Seconds of both in turns, and the largest difference between two scores."""
    X, y = table(case)
    cv = (KFold if case.scoring == "r2" else StratifiedKFold)(FOLDS, shuffle=True, random_state=0)
    theirs, ours, differences = [], [], []
    for _ in range(repeats):
        seconds, grid = timed(lambda: GridSearchCV(case.make(), dict(case.grid), scoring=case.scoring, cv=cv, refit=False).fit(X, y))
        theirs.append(seconds)
        seconds, search = timed(
            lambda: TuneSearchCV(case.make(), dict(case.grid), method="grid", trials=None, scoring=case.scoring, cv=cv, refit=False).fit(X, y)
        )
        ours.append(seconds)
        one, other = (by_fold(found.cv_results_, list(case.grid)) for found in (grid, search))
        if one.keys() != other.keys():
            raise SystemExit(f"{case.name}: the two did not measure the same configs")
        differences.append(max(abs(a - b) for config in one for a, b in zip(one[config], other[config], strict=True)))
    return _row(case, theirs, ours, max(differences))


def prepared(case: Case, repeats: int) -> dict[str, Any]:
    """Beside one preparation per fold and as many last steps as there are candidates, done by hand."""
    X, y = table(case)
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    by_hand, ours = [], []
    for _ in range(repeats):
        by_hand.append(timed(lambda: _by_hand(case, X, y, cv))[0])
        ours.append(
            timed(lambda: TuneSearchCV(case.make(), dict(case.grid), method="grid", trials=None, scoring=case.scoring, cv=cv, refit=False).fit(X, y))[0]
        )
    return _row(case, by_hand, ours, float("nan"))


def _by_hand(case: Case, X: Any, y: Any, cv: Any) -> None:
    (name, values), *_ = case.grid.items()
    for train, _test in cv.split(X, y):
        pipeline = case.make()
        Z = pipeline[:-1].fit_transform(X[train], y[train])
        for value in values:
            deepcopy(pipeline[-1]).set_params(**{name.split("__")[-1]: value}).fit(Z, y[train])


def _row(case: Case, theirs: Sequence[float], ours: Sequence[float], difference: float) -> dict[str, Any]:
    turns = [a / b for a, b in zip(theirs, ours, strict=True)]
    ratio = float(np.median(theirs) / np.median(ours))
    return {
        "case": case.name,
        "theirs": float(np.median(theirs)),
        "ours": float(np.median(ours)),
        "ratio": ratio,
        "turns": turns,
        "goal": case.goal,
        "difference": difference,
    }


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="CASE", help=f"of {', '.join(repr(c.name) for c in [*CASES, PREPARED])}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    options = parser.parse_args(arguments)
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in [*CASES, PREPARED]:
            if not options.only or case.name in options.only:
                rows.append((prepared if case is PREPARED else compared)(case, options.repeats))
                print(f"{case.name}: {rows[-1]['ratio']:.1f} times", flush=True)
    made = provenance("evaluate/grids.py", arguments)
    headers = ["grid", "GridSearchCV, CPU s", "staytuned, CPU s", "times faster", "turns", "goal", "largest difference of a score"]
    cells = [
        [
            r["case"],
            f"{r['theirs']:.2f}",
            f"{r['ours']:.2f}",
            f"{r['ratio']:.1f}",
            f"{min(r['turns']):.1f} to {max(r['turns']):.1f}",
            f"{r['goal']:.2g}",
            f"{r['difference']:.1g}",
        ]
        for r in rows
    ]
    print(markdown(headers, cells))
    if options.write:
        about = f"{FOLDS} folds, no refit. The last row is beside one preparation per fold and 20 last steps by hand, unscored; the bar is 1.3 times that."
        stored(RESULTS, "grids", {"made": made, "rows": rows}, f"# The same grid, one fit or many\n\n{written(made)}\n\n{about}\n\n{markdown(headers, cells)}")


if __name__ == "__main__":
    main(sys.argv[1:])
