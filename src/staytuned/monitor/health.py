"""What a monitor says: findings, and one verdict in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

Part: TypeAlias = Literal["quality", "drift", "performance"]
Level: TypeAlias = Literal["note", "attention"]
Verdict: TypeAlias = Literal["healthy", "attention"]
Harm: TypeAlias = Literal["none", "benign drift", "possible", "confirmed", "incident"]

HARMS: tuple[Harm, ...] = ("none", "benign drift", "possible", "confirmed", "incident")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check noticed.

    Args:
        part: which check.
        subject: the column, or "table", "predictions", the metric.
        level: "note" for the record, "attention" for something to look into.
        message: one sentence.
        numbers: the figures behind it, all finite.
        kind: a fixed word for programs, such as "missing column", "moved", "risk".
    """

    part: Part
    subject: str
    level: Level
    message: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    kind: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(replace(self, numbers=finite(self.numbers)))

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**body)


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict on one batch.

    Args:
        verdict: whether somebody, or the policy, should act or look.
        harm: how it stands with the model's promise, in rising order:
            "none": nothing moved;
            "benign drift": inputs or predictions moved, labels came, and the promise is kept;
            "possible": they moved, and there are too few labels to tell whether it hurts;
            "confirmed": the risk detector has alarmed;
            "incident": the data itself is broken. Do not retrain on it, whatever else is true.
        findings: what was noticed, attention first.
        rows, labelled: of this batch.
        scores: of this batch, by metric; empty without labels.
        reference_scores: what was measured when the model was made.
        since: the row, counted from 0 over all rows this monitor has seen, at which the harm is estimated to begin; None unless confirmed.
        sentence: the verdict in words.
    """

    verdict: Verdict
    harm: Harm
    findings: tuple[Finding, ...]
    rows: int
    labelled: int
    scores: Mapping[str, float]
    reference_scores: Mapping[str, float]
    since: int | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        body = asdict(replace(self, scores=finite(self.scores), reference_scores=finite(self.reference_scores)))
        return {**body, "findings": [finding.to_json() for finding in self.findings]}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**{**body, "findings": tuple(Finding.from_json(finding) for finding in body["findings"])})


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Only the finite ones: JSON knows no others."""
    return {name: float(x) for name, x in numbers.items() if math.isfinite(x)}
