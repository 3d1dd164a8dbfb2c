"""One look at a batch: everything the monitor knows, put into one verdict and one sentence.

Nothing is remembered here. The reference is made once, beside the model; the state goes in and comes out; both are JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from staytuned.errors import UsageError
from staytuned.monitor.drift import LEAST_ROWS, drift, drift_findings, watch_drift
from staytuned.monitor.health import Finding, Harm, Health, finite
from staytuned.monitor.performance import NAMES, Losses, Prediction, Promise, as_truth, labelled, losses, promise_of, risk_detector, score
from staytuned.monitor.profile import TableProfile, profile
from staytuned.monitor.quality import quality
from staytuned.stats.stream import DriftDetector, RiskDetector

__all__ = ["MonitorState", "Prediction", "Reference", "Task", "check", "reference_of"]

Task: TypeAlias = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a batch is compared with: made once, from rows the model was neither fitted nor chosen on.

    Args:
        features: profile of the inputs.
        predictions: profile of what the model said about them.
        promise: what it promises about its losses; None without labels.
        metric: by scikit-learn's name.
        task: binary, multiclass or regression.
        classes: in the order of the probabilities; empty for regression.
        score: the metric on the held-out rows, as it was reported.
    """

    features: TableProfile
    predictions: TableProfile
    promise: Promise | None
    metric: str
    task: Task
    classes: tuple[Any, ...]
    score: float

    def to_json(self) -> dict[str, Any]:
        return {
            "features": self.features.to_json(),
            "predictions": self.predictions.to_json(),
            "promise": None if self.promise is None else self.promise.to_json(),
            "metric": self.metric,
            "task": self.task,
            "classes": list(self.classes),
            "score": self.score if math.isfinite(self.score) else None,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            features=TableProfile.from_json(body["features"]),
            predictions=TableProfile.from_json(body["predictions"]),
            promise=None if body["promise"] is None else Promise.from_json(body["promise"]),
            metric=body["metric"],
            task=body["task"],
            classes=tuple(body["classes"]),
            score=math.nan if body["score"] is None else body["score"],
        )


@dataclass(frozen=True, slots=True, eq=False)
class MonitorState:
    """What is remembered from batch to batch. `check` never changes the one it is given.

    Args:
        risk: the detector of broken promises; None without a promise.
        drift: the detector of columns that keep moving; predictions are among them.
        batches, rows, labelled: seen so far, incidents included.
        marks: (losses seen, rows seen) before and after the latest labelled batches: where a loss came from.
    """

    risk: RiskDetector | None
    drift: DriftDetector
    batches: int = 0
    rows: int = 0
    labelled: int = 0
    marks: tuple[tuple[int, int], ...] = ()

    @classmethod
    def fresh(cls, reference: Reference, *, labels_per_false_alarm: float = 100_000, batches_per_false_alarm: float = 1000) -> Self:
        """The state before the first batch, and after every change of the model."""
        risk = None if reference.promise is None else risk_detector(reference.promise, labels_per_false_alarm)
        watched = [c.name for c in reference.features.columns if c.kind != "time"] + [c.name for c in reference.predictions.columns]
        return cls(risk, DriftDetector(watched, batches_per_false_alarm))

    def to_json(self) -> dict[str, Any]:
        return {
            "risk": None if self.risk is None else self.risk.to_json(),
            "drift": self.drift.to_json(),
            "batches": self.batches,
            "rows": self.rows,
            "labelled": self.labelled,
            "marks": [list(mark) for mark in self.marks],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            risk=None if body["risk"] is None else RiskDetector.from_json(body["risk"]),
            drift=DriftDetector.from_json(body["drift"]),
            batches=body["batches"],
            rows=body["rows"],
            labelled=body["labelled"],
            marks=tuple((int(seen), int(rows)) for seen, rows in body["marks"]),
        )


def reference_of(
    X: pd.DataFrame, y: npt.ArrayLike | None, prediction: Prediction, *, task: Task, metric: str, score: float, tolerance: float | None = None
) -> Reference:
    """The reference for a model.

    Args:
        X: the inputs it expects to see; ten times the rows of a batch make a good reference.
        y: the truth for the rows of `prediction`; None if there is none, and then no promise.
        prediction: of held-out rows (they need not be those of X, only like them).
        task: binary, multiclass or regression.
        metric, score: what was measured when the model was made.
        tolerance: how much worse still counts as kept, see `promise_of`.

    Raises:
        UsageError: there are labels but none can be used.
    """
    classes = tuple(c.item() if isinstance(c, np.generic) else c for c in prediction.classes)
    promise = None if y is None else promise_of(metric, y, prediction, tolerance)
    return Reference(profile(X), profile(_outputs(prediction)), promise, metric, task, classes, float(score))


def check(reference: Reference, state: MonitorState, X: pd.DataFrame, prediction: Prediction, y: npt.ArrayLike | None = None) -> tuple[Health, MonitorState]:
    """The health of the model on one batch, and the state after it.

    Labels may be partial (NaN or None where unknown) and must be fed once, in the order in which they arrive; that they come
    late does no harm unless their delay depends on the outcome. A batch that is a data incident is reported but not taken into
    the detectors, so that their alarms speak of the model.

    Args:
        reference, state: of the model that made the predictions.
        X: (n, n_features) the batch; extra columns are noted, missing ones are an incident.
        prediction: (n,) of the same rows.
        y: (n,) the truth, or None.

    Raises:
        UsageError: lengths do not fit; a regression target that holds no numbers; duplicate column names.
    """
    shape = (len(X),) if y is None else as_truth(y).shape
    if len(X) != len(prediction) or shape != (len(X),):
        raise UsageError(f"the batch has {len(X)} rows, {len(prediction)} predictions and labels of shape {shape}; there must be one of each for every row")
    broken = quality(reference.features, X)
    moved, watched = _movement(reference, state, X, prediction)
    hurt, after = _harm(reference, state, prediction, y)
    after = replace(after, drift=watched)
    incident = any(finding.level == "attention" for finding in broken)
    harm = _verdict(incident, after, [*moved, *broken], hurt)
    if harm == "benign drift":
        moved = [replace(finding, level="note") for finding in moved]
    findings = sorted([*broken, *hurt.findings, *moved], key=lambda finding: finding.level != "attention")
    since = _row_of_change(after, hurt.losses, state.rows)
    health = Health(
        verdict="healthy" if harm in ("none", "benign drift") else "attention",
        harm=harm,
        findings=tuple(findings),
        rows=len(X),
        labelled=hurt.labelled,
        scores=hurt.scores,
        reference_scores={reference.metric: reference.score} if math.isfinite(reference.score) else {},
        since=since,
        sentence=_sentence(harm, broken, moved, hurt, _when(since, state.rows), len(X)),
    )
    return health, _remembered(state, after, incident)


@dataclass(frozen=True, slots=True)
class _Harm:
    """What the labels of a batch say."""

    labelled: int
    losses: Losses | None
    scores: Mapping[str, float]
    findings: tuple[Finding, ...]
    kept: str  # half a sentence: how it stands with the promise
    confirmed: bool


def _outputs(prediction: Prediction) -> pd.DataFrame:
    """What a model says, as columns that can be profiled and compared; names that no column of a table is likely to have."""
    said = pd.Series(np.asarray(prediction.labels))
    if not len(prediction.classes):
        return pd.DataFrame({"(prediction)": pd.to_numeric(said, errors="coerce").astype(float)})
    if prediction.probabilities is None:
        return pd.DataFrame({"(prediction)": said.astype(object)})
    p = np.asarray(prediction.probabilities, dtype=float)
    if len(prediction.classes) == 2:
        return pd.DataFrame({f"(probability of {prediction.classes[1]})": p[:, 1]})
    return pd.DataFrame({"(prediction)": said.astype(object), "(confidence)": p.max(axis=1, initial=0.0)})


def _movement(reference: Reference, state: MonitorState, X: pd.DataFrame, prediction: Prediction) -> tuple[list[Finding], DriftDetector]:
    outputs = _outputs(prediction)
    if len(X) < LEAST_ROWS:
        message = f"Too few rows to judge drift: {len(X)}, and it takes {LEAST_ROWS}."
        return [Finding("drift", "table", "note", message, {"rows": float(len(X))}, "too few rows")], state.drift
    found = drift_findings(drift(reference.features, X)) + drift_findings(drift(reference.predictions, outputs), "Prediction")
    watched = watch_drift(state.drift, [(reference.features, X), (reference.predictions, outputs)])
    known = {finding.subject for finding in found if finding.level == "attention"}
    for name in watched.culprits:
        if name not in known:
            message = f"{name!r} has kept moving over {watched.seen} batches (at most one false alarm in {watched.per:,.0f} batches)."
            found.append(Finding("drift", name, "attention", message, {"evidence": watched.value, "batches": float(watched.seen)}, "keeps moving"))
    return found, watched


def _harm(reference: Reference, state: MonitorState, prediction: Prediction, y: npt.ArrayLike | None) -> tuple[_Harm, MonitorState]:
    rows = len(prediction)
    after = replace(state, batches=state.batches + 1, rows=state.rows + rows)
    confirmed = state.risk is not None and state.risk.drifted
    has = np.zeros(rows, dtype=bool) if y is None else labelled(y, numeric=reference.task == "regression")
    n = int(has.sum())
    if y is None or n == 0:
        return _Harm(0, None, {}, (), "its performance was confirmed worse before, and no labels came to say otherwise", confirmed), after
    value = score(reference.metric, y, prediction)
    scores = {reference.metric: value} if math.isfinite(value) else {}
    if reference.promise is None or state.risk is None:
        return _Harm(n, None, scores, (), "no promise was made, so performance was not judged", False), replace(after, labelled=state.labelled + n)
    new = losses(reference.promise, y, prediction)
    risk = RiskDetector.from_json(state.risk.to_json())
    risk.update_many(new.values)
    marks = (*state.marks, (state.risk.seen, state.rows), (risk.seen, after.rows))[-_MARKS:]
    after = replace(after, risk=risk, labelled=state.labelled + n, marks=marks)
    finding = _performance(reference.promise, risk, new, state.risk.seen)
    return _Harm(n, new, scores, (finding,), finding.message, risk.drifted), after


def _performance(promise: Promise, risk: RiskDetector, new: Losses, seen: int) -> Finding:
    name = NAMES[promise.loss]
    start = max(0, (risk.change_point or 0) - seen) if risk.drifted else 0
    values = new.values[start:] if start < len(new.values) else new.values
    observed = promise.natural(float(np.mean(values))) if len(values) else math.nan
    figures = {
        "observed": observed,
        "promised": promise.natural(promise.risk),
        "allowed": promise.natural(promise.m),
        "evidence": risk.value,
        "losses": float(risk.seen),
    }
    if not len(values):
        message = f"The labels of this batch say nothing about {promise.metric}: both classes are needed."
        return Finding("performance", promise.metric, "attention" if risk.drifted else "note", message, finite(figures), "risk")
    promised = f"{_number(figures['promised'])} was promised and {_number(figures['allowed'])} allowed"
    seen_now = f"{name} {_number(observed)}"
    if risk.drifted and observed <= figures["allowed"]:
        message = f"Performance was confirmed worse earlier; in this batch it is back: {seen_now} where {promised}."
        return Finding("performance", promise.metric, "attention", message, finite(figures), "risk")
    if risk.drifted:
        message = f"Performance is confirmed worse: {seen_now} where {promised} (at most one false alarm in {risk.per:,.0f} labels)."
        return Finding("performance", promise.metric, "attention", message, finite(figures), "risk")
    if observed > figures["allowed"]:
        message = f"Performance looks worse, but not yet surely so: {seen_now} where {promised}, over {len(values):,} labels."
    else:
        message = f"The promise is kept: {seen_now} where {promised}."
    return Finding("performance", promise.metric, "note", message, finite(figures), "risk")


def _verdict(incident: bool, after: MonitorState, noticed: Sequence[Finding], hurt: _Harm) -> Harm:
    if incident:
        return "incident"
    if after.risk is not None and after.risk.drifted:
        return "confirmed"
    moved = [finding for finding in noticed if finding.part == "drift" and finding.level == "attention"]
    if not moved:
        return "none"
    judged = hurt.losses is not None and len(hurt.losses.values) > 0 and hurt.labelled >= LEAST_ROWS
    return "benign drift" if judged else "possible"


def _row_of_change(after: MonitorState, new: Losses | None, rows_before: int) -> int | None:
    """The row, over all batches, at which the confirmed rise is estimated to begin."""
    if after.risk is None or not after.risk.drifted or after.risk.change_point is None or not after.marks:
        return None
    change = after.risk.change_point
    first = after.risk.seen - (0 if new is None else len(new.rows))
    if new is not None and change >= first:
        return rows_before + int(new.rows[change - first])
    # within an earlier batch the labelled rows are taken to lie evenly
    return int(np.interp(change, [seen for seen, _ in after.marks], [row for _, row in after.marks]))


def _remembered(state: MonitorState, after: MonitorState, incident: bool) -> MonitorState:
    if not incident:
        return after
    return replace(after, risk=state.risk, drift=state.drift, marks=state.marks)


# --- words


def _sentence(harm: Harm, broken: Sequence[Finding], moved: Sequence[Finding], hurt: _Harm, when: str, rows: int) -> str:
    if harm == "incident":
        worst = [finding.message for finding in broken if finding.level == "attention"]
        more = f" {len(worst) - 2} more findings." if len(worst) > 2 else ""
        return f"Data incident: {' '.join(worst[:2])}{more} Mend the data before retraining on it.{_worse_too(hurt)}"
    if harm == "confirmed":
        return f"{hurt.kept} {when}" if hurt.labelled else f"Needs attention: {hurt.kept}. {when}"
    names = _names([finding.subject for finding in moved if finding.kind in ("moved", "keeps moving")])
    if harm == "benign drift":
        return f"{names} moved, without proven harm. {hurt.kept}"
    if harm == "possible":
        labels = "no labels came" if hurt.labelled == 0 else f"only {hurt.labelled:,} rows can be judged by labels"
        return f"{names} moved; whether it hurts is unknown, for {labels}."
    still = f"Nothing worth a word moved in {rows:,} rows" if rows >= LEAST_ROWS else f"Too few rows to judge drift ({rows:,})"
    return (
        f"{still}. {hurt.kept}"
        if hurt.findings
        else f"{still}; {'no labels came, so' if hurt.labelled == 0 else 'without a promise'} performance was not judged."
    )


def _worse_too(hurt: _Harm) -> str:
    return f" {hurt.findings[0].message}" if hurt.confirmed and hurt.findings else ""


def _when(since: int | None, rows_before: int) -> str:
    if since is None:
        return "It began before the first row still remembered."
    if since >= rows_before:
        return f"It began around row {since - rows_before:,} of this batch."
    return f"It began around {rows_before - since:,} rows before this batch."


def _names(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    shown = ", ".join(unique[:3])
    return shown if len(unique) <= 3 else f"{shown} and {len(unique) - 3} more columns"


def _number(x: float) -> str:
    return f"{x:.3g}" if math.isfinite(x) else "unknown"


_MARKS = 512
