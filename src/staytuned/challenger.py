"""How a challenger is made: which rows it learns from, with which hyperparameters, and what it is held to afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from staytuned.automl import recipe
from staytuned.automl.columns import Table, as_kind, table_from_json, target_of
from staytuned.errors import BlobMissing, NotFoundError, TableError, UsageError
from staytuned.monitor.log import Span, labelled_rows
from staytuned.monitor.performance import Prediction, losses
from staytuned.monitor.profile import TableProfile, profile
from staytuned.monitor.watch import Reference, reference_of
from staytuned.protocols import Ledger
from staytuned.registry import Lineage, Registry, Version
from staytuned.space.codec import config_from_json, config_to_json
from staytuned.space.space import Config
from staytuned.store.frames import frame_from_bytes, frame_to_bytes
from staytuned.study import Study

Array: TypeAlias = npt.NDArray[Any]
Manifest: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Retuned:
    """What a retuning found.

    Args:
        config: the best one.
        model: fitted with it on all rows given.
        score: its validation score.
        study: its study's name.
    """

    config: Config
    model: Any
    score: float
    study: str


Retrain: TypeAlias = Callable[[Config, pd.DataFrame, Array, Manifest], Any]
"""(config, X, y, manifest) -> a fitted model with scikit-learn's methods."""

Retune: TypeAlias = Callable[[pd.DataFrame, Array, Manifest, Sequence[Config], str], Retuned]
"""(X, y, manifest, configs to try first, a name for the study) -> Retuned. The rows are in order of time."""


@dataclass(frozen=True, eq=False)
class Keeper:
    """A version that can predict."""

    version: Version
    model: Any
    table: Table
    reference: Reference

    def predict(self, X: pd.DataFrame) -> Prediction:
        return recipe.predict(self.model, X, self.table)


@dataclass(frozen=True)
class Attempt:
    """One try at a new version. Positions are those of labels, over all labels ever logged.

    Args:
        relevant: where the rows since the change begin. trouble: where those since the first change begin that is not mended yet.
        held_from, stop: the rows held back.
        tries: attempts before it that did not mend the same trouble.
        outcome: empty while it goes on. ended: the position at which it was settled.
    """

    number: int
    action: str
    era: int
    relevant: int
    trouble: int
    held_from: int
    stop: int
    tries: int
    leave_out: frozenset[str]
    at: float
    outcome: str = ""
    ended: int = 0


@dataclass(frozen=True, eq=False)
class Training:
    """Rows in order of time, and where the last change, and the first unmended one, lie among them."""

    X: pd.DataFrame
    y: Array
    relevant: int
    trouble: int


def make_challenger(
    registry: Registry,
    attempt: Attempt,
    champion: Keeper,
    spans: Sequence[Span],
    retrain: Retrain,
    retune: Retune,
    *,
    last_rows: int,
    warm: int,
) -> Version:
    """Choose the rows, fit, and register. The same attempt makes the same challenger, but for what chance the fit itself takes.

    Args:
        spans: all batches of labels.
        last_rows: length of the shortest window.
        warm: old configs for a retuning to try first, beside the champion's.
    """
    name, manifest = champion.version.model, champion.version.manifest
    training = _training_rows(registry, attempt, champion, spans)
    config = config_from_json(champion.version.lineage.config)
    start, window, seen = best_window(training, last_rows, lambda X, y: retrain(config, X, y, manifest), champion)
    X, y = training.X.iloc[start:].reset_index(drop=True), training.y[start:]
    study = champion.version.lineage.study
    scores: dict[str, Any] = {"loss of each window on the rows after it": seen}
    if attempt.action == "retune":
        # the study is named after the attempt, so that a continued attempt continues it
        found = retune(X, y, manifest, _old_best(registry.ledger, champion.version, config, warm), f"{name}-retune-{attempt.number}")
        model, config, study = found.model, found.config, found.study
        scores["validation"] = found.score
    else:
        model = retrain(config, X, y, manifest)
    digest = hashlib.sha256(frame_to_bytes(X.assign(**{champion.table.target: y}))).hexdigest()
    lineage = Lineage(digest, len(X), study, config_to_json(config), scores, parent=champion.version.number)
    held = inputs_of(labelled_rows(registry.ledger, name, attempt.held_from, attempt.stop, attempt.leave_out).X, champion.table)
    reference = _new_reference(champion, model, X, held, training.X).to_json()
    changes = {"reference": reference, "trained_upto": attempt.held_from, "attempt": attempt.number, "window": window}
    what = "newly tuned hyperparameters" if attempt.action == "retune" else "the same hyperparameters"
    return registry.register(name, model, lineage=lineage, manifest={**manifest, **changes}, reason=f"{what}, trained on {window}")


def best_window(training: Training, last_rows: int, fit: Callable[[pd.DataFrame, Array], Any], champion: Keeper) -> tuple[int, str, dict[str, float]]:
    """Which rows to learn from: of each window all but the latest rows are learned from, and these are predicted.

    Returns:
        The row at which the best window begins, its name, and the mean loss of each.
    """
    n, promise = len(training.y), champion.reference.promise
    judged = max(_LEAST_WINDOW, round(0.3 * (n - training.relevant)))
    split = n - judged
    starts = {"all rows": 0, "the rows since the change": training.relevant, "the rows since the trouble began": training.trouble}
    starts[f"the last {last_rows:,} rows"] = max(0, n - last_rows)
    windows: dict[int, str] = {}
    for name, start in starts.items():
        enough = split - start >= _LEAST_WINDOW and (champion.table.task == "regression" or len(np.unique(training.y[start:split])) > 1)
        if enough:
            windows.setdefault(start, name)
    if len(windows) < 2 or promise is None:
        start = next(iter(windows), 0)
        return start, windows.get(start, "all rows"), {}
    mean: dict[int, float] = {}
    later, truth = training.X.iloc[split:], training.y[split:]
    for start in windows:
        model = fit(training.X.iloc[start:split], training.y[start:split])
        values = losses(promise, truth, recipe.predict(model, later, champion.table)).values
        mean[start] = float(np.mean(values)) if len(values) else float("inf")
    best = min(mean, key=lambda start: mean[start])
    return best, windows[best], {windows[start]: value for start, value in mean.items() if np.isfinite(value)}


def inputs_of(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The columns a model uses, in its order and in the form of their kinds; others, the target among them, are left out.

    Raises:
        TableError: columns are missing; they are named.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    missing = [column.name for column in table.used if column.name not in frame.columns]
    if missing:
        raise TableError(f"the table lacks {', '.join(map(repr, missing))}, which the model needs; it has {', '.join(map(repr, frame.columns[:12]))}")
    return pd.DataFrame({c.name: as_kind(frame[c.name], c.kind, c.format) for c in table.used}, index=frame.index).reset_index(drop=True)


def retrain_by_recipe(config: Config, X: pd.DataFrame, y: Array, manifest: Manifest) -> Any:
    """The model of a config, fitted on all rows given."""
    return recipe.fit_config(config, X, y, table_from_json(manifest["table"]))


def retune_by_recipe(ledger: Ledger, *, trials: int | None = 40, seconds: float | None = 60, n_jobs: int | None = None) -> Retune:
    """A retuning within a budget, judged on later rows only (folds in order of time), its study kept in the ledger."""

    def retune(X: pd.DataFrame, y: Array, manifest: Manifest, warm: Sequence[Config], name: str) -> Retuned:
        table = table_from_json(manifest["table"])
        plan = recipe.make_plan(X, y, table, metric=manifest["metric"], time_order=np.arange(len(y)))
        tuned = recipe.tune(X, y, table, plan=plan, trials=trials, seconds=seconds, warm=warm, ledger=ledger, name=name, n_jobs=n_jobs)
        return Retuned(tuned.config, tuned.pipeline, tuned.score, tuned.study.name)

    return retune


def target_in(frame: pd.DataFrame, table: Table) -> str | None:
    wanted = table.target.strip().casefold()
    return next((str(name) for name in frame.columns if str(name).strip().casefold() == wanted), None)


def labels_in(frame: pd.DataFrame, table: Table) -> Array | None:
    """(n,) labels, NaN or None where there is none; None without a target column."""
    if target_in(frame, table) is None:
        return None
    found, known = target_of(frame, table)
    y = np.full(len(frame), np.nan if table.task == "regression" else None, dtype=float if table.task == "regression" else object)
    y[known] = found.tolist()
    return y


def fingerprint(X: pd.DataFrame, y: Array | None) -> str:
    return hashlib.sha256(frame_to_bytes(X if y is None else X.assign(**{"staytuned.y": y}))).hexdigest()[:16]


def trained_upto(version: Version, spans: Sequence[Span]) -> int:
    """The position up to which labels were learned from; for a version from elsewhere, all that had come before it was made."""
    if "trained_upto" in version.manifest:
        return int(version.manifest["trained_upto"])
    return max((span.stop for span in spans if span.at < version.created), default=0)


def _training_rows(registry: Registry, attempt: Attempt, champion: Keeper, spans: Sequence[Span]) -> Training:
    """The first table this line of models was trained on, followed by every labelled row since, up to those held back."""
    root = champion.version
    while root.lineage.parent is not None:
        root = registry.version(root.model, root.lineage.parent)
    rows = labelled_rows(registry.ledger, root.model, trained_upto(root, spans), attempt.held_from, attempt.leave_out)
    parts = [(inputs_of(rows.X, champion.table), rows.y)] if len(rows) else []
    first = _first_table(registry.ledger, root, champion.table)
    parts = parts if first is None else [first, *parts]
    if not parts:
        raise TableError("there are no rows to learn from; wait for labels")
    # as objects, for the categories of one part need not be those of the other
    X = inputs_of(pd.concat([X.astype(object) for X, _ in parts], ignore_index=True), champion.table)
    y = np.concatenate([y for _, y in parts])
    offset = len(y) - len(rows)
    relevant, trouble = (offset + int(np.searchsorted(rows.positions, place)) for place in (attempt.relevant, attempt.trouble))
    return Training(X, y, relevant, trouble)


def _first_table(ledger: Ledger, root: Version, table: Table) -> tuple[pd.DataFrame, Array] | None:
    try:
        frame = frame_from_bytes(ledger.get(root.lineage.table)) if root.lineage.table else None
    except BlobMissing:
        return None
    if frame is None or target_in(frame, table) is None:
        return None
    y, known = target_of(frame, table)
    return inputs_of(frame[known], table), y


def _old_best(ledger: Ledger, champion: Version, config: Config, count: int) -> list[Config]:
    """The champion's config and the best others of its study: tried first, and scored anew, for their old scores no longer hold."""
    founded = ledger.read(f"study/{champion.lineage.study}", kind="founded") if champion.lineage.study else []
    if not founded:
        return [config]
    try:
        others = recipe.best_configs(Study(champion.lineage.study, goal=founded[0].body["goal"], ledger=ledger), count)
    except (NotFoundError, UsageError):
        return [config]
    return [config, *(other for other in others if other != config)][: count + 1]


def _new_reference(champion: Keeper, model: Any, X: pd.DataFrame, held: pd.DataFrame, past: pd.DataFrame) -> Reference:
    """The inputs of the new training window, the new model's predictions of rows it has not learned from, and the first model's promise.

    The promise is never made anew: a model that learned from a mixture is still bad, and a monitor that took this for the
    new normal would go quiet.

    Args:
        X: the training window. held: the rows held back. past: all rows the window was chosen from.
    """
    old = champion.reference
    reference = reference_of(X, None, recipe.predict(model, held, champion.table), task=old.task, metric=old.metric, score=old.score)
    features = _widened(_widened(_widened(reference.features, old.features), profile(past)), profile(held))
    return replace(reference, features=features, promise=old.promise, classes=old.classes)


def _widened(window: TableProfile, seen: TableProfile) -> TableProfile:
    """The profile of a window whose numeric ranges take in whatever was seen before: a value is no incident for being rare of late.

    The new ends hold no rows, so that the distribution, and every test of drift, stays that of the window.
    """
    ranges = {column.name: (column.low, column.high) for column in seen.columns if column.points}
    columns = []
    for column in window.columns:
        low, high = ranges.get(column.name, (column.low, column.high))
        if column.points and low < column.low:
            column = replace(column, points=(low, *column.points), below=(0, *column.below))
        if column.points and high > column.high:
            column = replace(column, points=(*column.points, high), below=(*column.below, column.present))
        columns.append(column)
    return replace(window, columns=tuple(columns))


_LEAST_WINDOW = 30
