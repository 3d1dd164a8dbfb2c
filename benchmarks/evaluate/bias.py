"""Is the corrected score of a search's winner right on average, where the score the search shows is not? Replications with a known truth.

    python benchmarks/evaluate/bias.py
    python benchmarks/evaluate/bias.py --replications 2000 --only close raced

In every replication a table is drawn, the config that looks best on it is chosen, and its score is compared with what its fold models are
worth on rows without end (in the synthetic settings) or on 5,000 new rows (with real estimators).
"""

from __future__ import annotations

import argparse
import sys
import time as clock
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ground  # noqa: F401
import numpy as np
import numpy.typing as npt
from provenance import RESULTS, markdown, provenance, stored, written
from scipy.stats import norm

from staytuned.evaluate.honest import Honest, corrected, corrected_for, time_blocks

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """One table and the truth.

    Args:
        table: (n_rows, n_configs) losses, or scores to be ranked where there is a ``y``.
        truth: (n_configs,) the score each config's models have.
        folds: (n_rows,)
        groups: (n_rows,) or None.
        y: (n_rows,) labels for the area under the ROC curve.
    """

    table: Floats
    truth: Floats
    folds: npt.NDArray[np.intp]
    groups: npt.NDArray[np.intp] | None = None
    y: npt.NDArray[np.intp] | None = None


def gaussian(rng: np.random.Generator, rows: int, configs: int, spread: float, shared: float) -> Drawn:
    """Losses of standard deviation 1, of whose variance ``shared`` is the row's own. The configs' risks are spread by ``spread`` standard
    errors of a difference between two configs' means."""
    truth = rng.normal(0, spread * np.sqrt(2 * (1 - shared) / rows), configs)
    losses = truth + np.sqrt(shared) * rng.normal(size=(rows, 1)) + np.sqrt(1 - shared) * rng.normal(size=(rows, configs))
    return Drawn(losses, truth, np.arange(rows) % 5)


def wrong(rng: np.random.Generator, rows: int, configs: int, rate: float, spread: float) -> Drawn:
    """Errors of classifiers that agree on most rows: a row is as hard for all, and each config's coin decides near the threshold."""
    truth = rate + spread * rng.normal(size=configs)
    latent = np.sqrt(0.8) * rng.normal(size=(rows, 1)) + np.sqrt(0.2) * rng.normal(size=(rows, configs))
    return Drawn((latent < norm.ppf(truth)).astype(float), truth, np.arange(rows) % 5)


def raced(rng: np.random.Generator, rows: int, configs: int) -> Drawn:
    """As `gaussian` with risks spread by one standard error, but configs that fall behind in their first two folds have no other."""
    drawn = gaussian(rng, rows, configs, 1.0, 0.8)
    table, best = drawn.table.copy(), np.inf
    for config in range(configs):
        early = drawn.folds < 2
        incumbent = table[:, : max(config, 1)]
        whole = ~np.isnan(incumbent).any(axis=0)
        rival = incumbent[:, whole][:, incumbent[:, whole].mean(axis=0).argmin()]
        if config and (table[early, config] - rival[early]).mean() > 1.3 * np.sqrt(0.4 / early.sum()):
            table[~early, config] = np.nan
        else:
            best = min(best, table[:, config].mean())
    return Drawn(table, drawn.truth, drawn.folds)


def grouped(rng: np.random.Generator, groups: int, size: int, configs: int) -> Drawn:
    """Rows of a group resemble each other under a config, so that there are far fewer independent rows than rows."""
    truth = rng.normal(0, 0.05, configs)
    group = np.repeat(np.arange(groups), size)
    losses = truth + rng.normal(size=(groups, 1))[group] + 0.5 * rng.normal(size=(groups, configs))[group] + 0.5 * rng.normal(size=(groups * size, configs))
    return Drawn(losses, truth, group % 5, group)


def in_time(rng: np.random.Generator, rows: int, configs: int) -> Drawn:
    """Autocorrelated losses in order of time, correlation .8 from row to row; left out in blocks. The first fifth has no prediction."""
    truth = rng.normal(0, 0.1, configs)
    noise = np.sqrt(1 - 0.64) * rng.normal(size=(rows, configs))
    noise[0] /= np.sqrt(1 - 0.64)
    for t in range(1, rows):
        noise[t] += 0.8 * noise[t - 1]
    table = truth + noise + rng.normal(size=(rows, 1))
    folds = np.arange(rows) * 5 // rows
    table[folds == 0] = np.nan
    return Drawn(table, truth, folds, time_blocks(rows))


def ranked(rng: np.random.Generator, rows: int, configs: int) -> Drawn:
    """Scores rounded to .2, so that many tie; three in ten rows positive; areas around .75."""
    lift = 0.95 + 0.1 * rng.normal(size=configs)
    y = (rng.random(rows) < 0.3).astype(np.intp)
    noise = np.sqrt(0.7) * rng.normal(size=(rows, 1)) + np.sqrt(0.3) * rng.normal(size=(rows, configs))
    return Drawn(np.round(y[:, None] * lift + noise, 1), norm.cdf(lift / np.sqrt(2)), np.arange(rows) % 5, y=y)


def estimators() -> list[Any]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    models: list[Any] = [LogisticRegression(C=c, max_iter=100) for c in np.logspace(-3, 2, 8)]
    models += [DecisionTreeClassifier(max_depth=d, min_samples_leaf=leaf, random_state=0) for d in (2, 3, 4, 6) for leaf in (1, 5, 15)]
    return models + [RandomForestClassifier(10, max_depth=d, max_features=f, random_state=0) for d in (3, None) for f in (0.3, 0.8)]


def fitted(rng: np.random.Generator, rows: int, area: bool) -> Drawn:
    """24 logistic regressions, trees and forests on a generated problem, five-fold; truth on 5,000 new rows."""
    return _fitted(int(rng.integers(2**31)), rows)[area]


@lru_cache(maxsize=1000)
def _fitted(seed: int, rows: int) -> tuple[Drawn, Drawn]:
    """By error and by ROC area, from the same fits."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=8) * np.array([1, 1, 0.5, 0.5, 0.3, 0, 0, 0])

    def sample(n: int) -> tuple[Floats, npt.NDArray[np.intp]]:
        X = rng.normal(size=(n, 8))
        return X, (rng.random(n) < 1 / (1 + np.exp(-(X @ weights + X[:, 0] * X[:, 1])))).astype(np.intp)

    (X, y), (X_new, y_new) = sample(rows), sample(5_000)
    models, folds = estimators(), rng.permutation(np.arange(rows) % 5)
    chances, errors, areas = np.empty((rows, len(models))), np.zeros(len(models)), np.zeros(len(models))
    for column, model in enumerate(models):
        for fold in range(5):
            out = folds == fold
            model.fit(X[~out], y[~out])
            chances[out, column] = model.predict_proba(X[out])[:, 1]
            new = model.predict_proba(X_new)[:, 1]
            errors[column] += float(np.mean((new > 0.5) != y_new)) / 5
            areas[column] += _area(y_new, new) / 5
    return Drawn(((chances > 0.5) != y[:, None]).astype(float), errors, folds), Drawn(chances, areas, folds, y=y)


def _area(y: npt.NDArray[np.intp], score: Floats) -> float:
    from scipy.stats import rankdata

    ranks, ups = rankdata(score), int(y.sum())
    return float((ranks[y == 1].sum() - ups * (ups + 1) / 2) / (ups * (len(y) - ups)))


SETTINGS: Mapping[str, tuple[str, Callable[[np.random.Generator], Drawn]]] = {
    "equal": ("30 configs of equal risk, 300 rows, errors independent", lambda g: gaussian(g, 300, 30, 0.0, 0.0)),
    "alike": ("the same, four fifths of the variance shared by all configs", lambda g: gaussian(g, 300, 30, 0.0, 0.8)),
    "close": ("the same, risks spread by half a standard error of a difference", lambda g: gaussian(g, 300, 30, 0.5, 0.8)),
    "apart": ("the same, spread by two", lambda g: gaussian(g, 300, 30, 2.0, 0.8)),
    "many": ("200 configs, 150 rows, spread by half", lambda g: gaussian(g, 150, 200, 0.5, 0.8)),
    "errors": ("error rates of 60 classifiers around .2, 200 rows", lambda g: wrong(g, 200, 60, 0.2, 0.01)),
    "raced": ("60 configs, spread by one, most raced out after two of five folds", lambda g: raced(g, 300, 60)),
    "groups": ("40 configs, 50 groups of 6 rows", lambda g: grouped(g, 50, 6, 40)),
    "time": ("30 configs, 1,000 rows in time, correlation .8 from row to row, blocks of 63", lambda g: in_time(g, 1000, 30)),
    "area": ("ROC area of 40 configs, 250 rows, tied scores", lambda g: ranked(g, 250, 40)),
    "fitted": ("error of 24 logistic regressions, trees and forests, 150 rows", lambda g: fitted(g, 150, area=False)),
    "fitted area": ("the same, ROC area", lambda g: fitted(g, 150, area=True)),
}


def replicated(name: str, replications: int, resamples: int, seed: int) -> dict[str, Any]:
    """Errors against the truth, with the sign that too good is positive."""
    rows = []
    began = clock.process_time()
    spent = 0.0
    for replication in range(replications):
        rng = np.random.default_rng([seed, list(SETTINGS).index(name.split()[0]), replication])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn = SETTINGS[name][1](rng)
        start = clock.process_time()
        found = _honest(drawn, resamples, replication)
        spent += clock.process_time() - start
        truth, sign = drawn.truth[found.winner], 1 if drawn.y is not None else -1
        plain = np.nan if drawn.y is not None else bootstrapped(drawn, 200, rng)
        inside = found.low <= truth <= found.high
        rows.append([sign * (found.naive - truth), sign * (plain - truth), sign * (found.corrected - truth), inside, found.overtuned, found.error])
    table = np.array(rows, dtype=float)
    bias, error = table.mean(axis=0), table.std(axis=0, ddof=1) / np.sqrt(replications)
    body: dict[str, Any] = {"setting": name, "replications": replications, "seconds": clock.process_time() - began, "seconds correcting": spent}
    for place, kind in enumerate(("naive", "bootstrap", "corrected")):
        body[kind] = {"bias": bias[place], "standard error": error[place], "root mean square": float(np.sqrt(np.mean(table[:, place] ** 2)))}
    return body | {"coverage": bias[3], "overtuned": bias[4], "rows' standard error": bias[5]}


def _honest(drawn: Drawn, resamples: int, seed: int) -> Honest:
    if drawn.y is not None:
        return corrected_for("roc_auc", drawn.y, drawn.table, drawn.folds, groups=drawn.groups, resamples=resamples, seed=seed)
    return corrected(drawn.table, drawn.folds, groups=drawn.groups, resamples=resamples, seed=seed)


def bootstrapped(drawn: Drawn, resamples: int, rng: np.random.Generator) -> float:
    """Plain BBC-CV as published: choose on rows drawn with replacement, score on those that were not drawn."""
    table = drawn.table[~np.isnan(drawn.table).all(axis=1)]
    groups = np.arange(len(drawn.table)) if drawn.groups is None else drawn.groups
    unit = np.unique(groups[~np.isnan(drawn.table).all(axis=1)], return_inverse=True)[1]
    units = int(unit.max()) + 1
    counts = rng.multinomial(units, np.full(units, 1 / units), size=resamples)[:, unit].astype(float)
    has, filled = ~np.isnan(table), np.nan_to_num(table)
    left = (counts == 0).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        chosen = np.nan_to_num((counts @ filled) / (counts @ has), nan=np.inf).argmin(axis=1)
        return float(np.nanmean(((left @ filled) / (left @ has))[np.arange(resamples), chosen]))


HEADERS = ("setting", "what", "naive: bias", "in s.e.", "plain bootstrap: bias", "in s.e.", "corrected: bias", "in s.e.", "r.m.s. naive", "bootstrap",
           "corrected", "interval holds truth", "flagged", "seconds each")  # fmt: skip


def _row(run: Mapping[str, Any]) -> list[str]:
    cells = [run["setting"], SETTINGS[run["setting"]][0]]
    for kind in ("naive", "bootstrap", "corrected"):
        bias, error = run[kind]["bias"], run[kind]["standard error"]
        cells += ["", ""] if np.isnan(bias) else [f"{bias:+.4f}", f"{bias / error:+.1f}"]
    cells += ["" if np.isnan(run[kind]["root mean square"]) else f"{run[kind]['root mean square']:.4f}" for kind in ("naive", "bootstrap", "corrected")]
    return [*cells, f"{100 * run['coverage']:.0f} %", f"{100 * run['overtuned']:.0f} %", f"{run['seconds correcting'] / run['replications']:.3f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="bias.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), metavar="SETTING", help=f"of {', '.join(SETTINGS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="bias", help="of the result")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--no-store", action="store_true", help="print only")
    options = parser.parse_args(words)
    made = provenance("evaluate/bias.py", words)
    runs = []
    for name in options.only or SETTINGS:
        runs.append(replicated(name, options.replications, options.resamples, options.seed))
        print(markdown(HEADERS, [_row(runs[-1])]).splitlines()[-1], flush=True)
    text = "\n\n".join([f"`{written(made)}`", ABOUT, markdown(HEADERS, [_row(run) for run in runs])])
    print(f"\n{text}")
    if not options.no_store:
        stored(options.results, options.name, {"provenance": made, "runs": runs}, f"# The winner's score, corrected\n\n{text}")


ABOUT = """Bias is the mean of score minus truth over the replications, with the sign that too good is positive; *in s.e.* divides it by its standard
error; an unbiased score lies within one of them in about two settings of three, within two in nearly all. Truth is what the fold models of
the chosen config are worth on new rows. *Flagged* is the share of replications in which `overtuned` said so; where all configs are equally
good that is right."""


if __name__ == "__main__":
    main()
