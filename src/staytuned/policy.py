"""What to do about a model: a pure function from how it stands to one action, with the reason and what would change it.

The ladder, first rung that applies (each is a hypothesis that was tested before, so that the policy only reads verdicts):

1. the input is broken: keep, and never learn from it;
2. the predecessor, still predicting in the shadow, beats the champion: roll back;
3. a challenger has won: promote; has lost, or cannot be told apart for long: discard; otherwise wait;
4. the promise is confirmed broken: retrain; where that did not mend it: retune; while there are too few new labels: wait;
5. anything else, drift included, is no reason to act.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from staytuned.errors import UsageError


class Action(StrEnum):
    """What can be done."""

    KEEP = "keep"
    RETRAIN = "retrain"  # same hyperparameters, new rows
    RETUNE = "retune"  # a new study, its first trials the old best
    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that is tested against the champion on every labelled row, and serves nobody.

    Args:
        version: its number.
        wins, loses: the verdicts of the anytime-valid test so far.
        evidence: that it is better; 1 at the start, 20 is one chance in twenty of error.
        rows: labelled rows so far.
    """

    version: int
    wins: bool = False
    loses: bool = False
    evidence: float = 1.0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """How a model stands.

    Args:
        champion: the version in service.
        harm: of the last look: "none", "benign drift", "possible", "confirmed" or "incident".
        looks: batches the champion was watched on.
        rows: labelled rows from the champion's time that it was not trained on; after a confirmed change, those since the change.
        rows_since_attempt, hours_since_attempt: since the last time a new version was made; None if that was never.
        recovered: harm is confirmed, yet on the latest labelled rows the mean loss is back at what was promised.
        tries: versions made for the present trouble that did not mend it.
        shadow: the challenger under test, if any.
        predecessor: the last champion, while it is still tested.
    """

    champion: int = 1
    harm: str = "none"
    looks: int = 1
    rows: int = 0
    rows_since_attempt: int | None = None
    hours_since_attempt: float | None = None
    recovered: bool = False
    tries: int = 0
    shadow: Shadow | None = None
    predecessor: Shadow | None = None


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The numbers in the ladder.

    Args:
        least_rows: labelled rows since the change before a new version is made, and between two attempts.
        rest_hours: hours between two attempts.
        retrains_before_retune: so many retrainings that do not mend it before each retuning.
        patience: labelled rows after which a challenger that cannot be told from the champion is discarded.
    """

    least_rows: int = 150
    rest_hours: float = 0.0
    retrains_before_retune: int = 1
    patience: int = 1000

    def __post_init__(self) -> None:
        if self.least_rows < 1 or self.patience < 1 or self.rest_hours < 0 or self.retrains_before_retune < 0:
            raise UsageError(f"{self} must have positive numbers of rows, and hours and retrainings of at least 0")


@dataclass(frozen=True, slots=True)
class Decision:
    """One step.

    Args:
        action: what to do.
        reason: why, one sentence.
        next: what would change it, one sentence.
    """

    action: Action
    reason: str
    next: str

    def __str__(self) -> str:
        return f"{self.action}: {self.reason} {self.next}".strip()


def decide(situation: Situation, policy: PolicySettings | None = None) -> Decision:
    """The action for a situation.

    >>> decide(Situation(harm="benign drift")).action
    <Action.KEEP: 'keep'>
    >>> print(decide(Situation(harm="confirmed", rows=40)))
    keep: The promise is confirmed broken, but only 40 labelled rows speak of the time since. 110 more labelled rows allow a retraining.
    """
    policy = policy or PolicySettings()
    if situation.harm == "incident":
        return _keep("The input is broken, and a model must not learn from it.", "Mend the input; the next clean batch lifts this.")
    return _rolled_back(situation) or _tested(situation, policy) or _mended(situation, policy) or _calm(situation)


def _rolled_back(s: Situation) -> Decision | None:
    if s.predecessor is None or not s.predecessor.wins:
        return None
    old = s.predecessor
    reason = f"Version {old.version}, which it replaced, does better on {old.rows:,} labelled rows since (evidence {_evidence(old)} to 1)."
    return Decision(Action.ROLL_BACK, reason, f"Version {old.version} is then held to the same promise.")


def _tested(s: Situation, policy: PolicySettings) -> Decision | None:
    if s.shadow is None:
        return None
    new, against = s.shadow, f"version {s.champion} on {s.shadow.rows:,} later labelled rows"
    if new.wins:
        return Decision(Action.PROMOTE, f"Version {new.version} beats {against} (evidence {_evidence(new)} to 1).", "It is rolled back should that turn round.")
    if new.loses:
        return Decision(Action.DISCARD, f"Version {new.version} does worse than {against}.", "More labelled rows allow another attempt.")
    if new.rows >= policy.patience:
        reason = f"Version {new.version} cannot be told from {against} (evidence {_evidence(new)} to 1)."
        return Decision(Action.DISCARD, reason, "More labelled rows allow another attempt.")
    reason = f"Version {new.version} and {against} cannot be told apart yet (evidence {_evidence(new)} to 1)."
    return _keep(reason, "Each labelled row goes on with the test.")


def _mended(s: Situation, policy: PolicySettings) -> Decision | None:
    if s.harm != "confirmed":
        return None
    if s.recovered:
        return _keep("The promise was confirmed broken, but the latest labelled rows keep it again.", "Should they stop to, a new version is made.")
    broken = "The promise is confirmed broken"
    if s.rows < policy.least_rows:
        more = policy.least_rows - s.rows
        return _keep(f"{broken}, but only {s.rows:,} labelled rows speak of the time since.", f"{more:,} more labelled rows allow a retraining.")
    if s.rows_since_attempt is not None and s.rows_since_attempt < policy.least_rows:
        more = policy.least_rows - s.rows_since_attempt
        reason = f"{broken}, but only {s.rows_since_attempt:,} labelled rows have come since the last attempt."
        return _keep(reason, f"{more:,} more labelled rows allow another one.")
    if s.hours_since_attempt is not None and s.hours_since_attempt < policy.rest_hours:
        reason = f"{broken}, but the last attempt was {s.hours_since_attempt:.1f} hours ago."
        return _keep(reason, f"Another one may be made after {policy.rest_hours:g} hours.")
    if s.tries % (policy.retrains_before_retune + 1) == policy.retrains_before_retune:
        tried = f", and {_times(s.tries)} did not mend it" if s.tries else ""
        return Decision(Action.RETUNE, f"{broken}{tried}: other hyperparameters may.", "The result must beat the champion on later rows.")
    tried = f" again after {_times(s.tries)}" if s.tries else ""
    reason = f"{broken}{tried}, and {s.rows:,} labelled rows speak of the time since: learn from them."
    return Decision(Action.RETRAIN, reason, "The result must beat the champion on later rows.")


def _calm(s: Situation) -> Decision:
    if s.looks == 0:
        return _keep(f"Version {s.champion} has not been watched since it went into service.", "Watch it on a batch, with labels where there are any.")
    if s.harm == "possible":
        return _keep("Something moved, and too few labels tell whether it hurts.", "Labels would tell.")
    if s.harm == "benign drift":
        return _keep("Something moved, and the promise still holds.", "Only a broken promise is a reason to act.")
    return _keep("Nothing speaks against the champion.", "Only a broken promise is a reason to act.")


def _keep(reason: str, then: str) -> Decision:
    return Decision(Action.KEEP, reason, then)


def _times(tries: int) -> str:
    return "one attempt" if tries == 1 else f"{tries} attempts"


def _evidence(shadow: Shadow) -> str:
    return f"{shadow.evidence:,.0f}" if shadow.evidence < 1e6 else "over a million"
