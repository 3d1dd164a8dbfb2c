"""The table scikit-learn's searches leave behind, ``cv_results_``, made from trials."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from staytuned.space.space import Config
from staytuned.trial import Status, Trial


def cv_results(
    trials: Sequence[Trial], folds: int, names: Sequence[str], *, train: bool, error_score: float, n_resources: Sequence[int] | None = None
) -> dict[str, Any]:
    """One row per trial, in scikit-learn's columns and three more: ``status``, ``origin``, ``trial_seconds``.

    A trial stopped after some folds has NaN for the rest and its estimate for all of them as the mean. It ranks behind every finished one, whatever
    the estimate: it was not measured. Trials at a share of the effort rank behind every finished one at a larger share. Trials that failed rank last.

    Args:
        trials: that have ended, with readings by fold; higher scores are better.
        folds: how many a full measurement has.
        names: of the metrics.
        train: also the columns of the scores on training rows.
        error_score: the scores of a trial that failed.
        n_resources: what each trial was given of a resource, where they were given shares; adds the columns ``n_resources`` and ``iter``, the rung
            by its share, 0 for the lowest, as in scikit-learn's searches by halving.
    """
    table: dict[str, Any] = {}
    if n_resources is not None:
        shares = np.array([round(trial.share, 9) for trial in trials])
        table |= {"iter": np.unique(shares, return_inverse=True)[1], "n_resources": np.array(n_resources)}
    for name in ("fit", "score"):
        seconds = _by_fold([{r.index: getattr(r, f"{name}_seconds") for r in trial.readings} for trial in trials], folds)
        table[f"mean_{name}_time"], table[f"std_{name}_time"] = _mean(seconds), _spread(seconds)
    configs = [dict(trial.config) for trial in trials]
    table |= _param_columns(configs)
    table["params"] = configs
    for name in names:
        table |= _score_columns(trials, folds, name, error_score)
        if train:
            scores = _by_fold([{r.index: r.train_scores.get(name, math.nan) for r in trial.readings} for trial in trials], folds)
            table |= _splits_of("train", name, scores) | {f"mean_train_{name}": _mean(scores), f"std_train_{name}": _spread(scores)}
    table["status"] = np.array([str(trial.status) for trial in trials], dtype=object)
    table["origin"] = np.array([trial.origin for trial in trials], dtype=object)
    table["trial_seconds"] = np.array([trial.cost.seconds for trial in trials])
    return table


def _score_columns(trials: Sequence[Trial], folds: int, name: str, error_score: float) -> dict[str, Any]:
    scores = _by_fold([{r.index: r.scores.get(name, math.nan) for r in trial.readings} for trial in trials], folds)
    failed = np.array([trial.status.failed for trial in trials])
    raced = np.array([trial.status is Status.PRUNED for trial in trials])
    scores[failed] = error_score
    means = _mean(scores)
    means[raced] = [trial.scores.get(name, math.nan) for trial in trials if trial.status is Status.PRUNED]
    group = np.where(np.isnan(means), 2, np.where(raced, 1, 0))
    rationed = any(trial.fidelity is not None for trial in trials)
    shares = np.where((group == 2) | (failed & rationed), 0.0, [round(trial.share, 9) for trial in trials])
    keys = list(zip(group.tolist(), (-shares).tolist(), np.where(np.isnan(means), 0.0, -means).tolist(), strict=True))
    place = {key: rank for rank, key in reversed(list(enumerate(sorted(keys), start=1)))}
    ranks = np.array([place[key] for key in keys], dtype=np.int32)
    return _splits_of("test", name, scores) | {f"mean_test_{name}": means, f"std_test_{name}": _spread(scores), f"rank_test_{name}": ranks}


def _by_fold(rows: Sequence[Mapping[int, float]], folds: int) -> npt.NDArray[np.float64]:
    """(n_trials, n_folds), NaN for folds not seen."""
    return np.array([[row.get(index, math.nan) for index in range(folds)] for row in rows], dtype=float).reshape(len(rows), folds)


def _splits_of(side: str, name: str, scores: npt.NDArray[np.float64]) -> dict[str, Any]:
    return {f"split{index}_{side}_{name}": scores[:, index] for index in range(scores.shape[1])}


def _mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n_trials,) over the folds seen; NaN where there is none."""
    return np.array([np.mean(row[~np.isnan(row)]) if not np.isnan(row).all() else math.nan for row in values])


def _spread(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n_trials,) standard deviation over the folds seen; NaN where there is none."""
    return np.array([np.std(row[~np.isnan(row)]) if not np.isnan(row).all() else math.nan for row in values])


def _param_columns(configs: Sequence[Config]) -> dict[str, Any]:
    """A masked array per parameter, masked where the config has no such parameter."""
    columns = {}
    for name in dict.fromkeys(name for config in configs for name in config):
        values = np.zeros(len(configs), dtype=_common_dtype([config[name] for config in configs if name in config]))
        for index, config in enumerate(configs):
            if name in config:
                values[index] = config[name]
        columns[f"param_{name}"] = np.ma.MaskedArray(values, mask=[name not in config for config in configs])
    return columns


def _common_dtype(values: Sequence[Any]) -> np.dtype[Any]:
    """A number's or boolean's dtype where all values are such, else object."""
    if not all(isinstance(value, numbers.Real | np.bool_) for value in values):
        return np.dtype(object)
    return np.array(values).dtype
