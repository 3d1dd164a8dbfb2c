"""Situations and what is to be done about them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.errors import UsageError
from staytuned.policy import Action, PolicySettings, Shadow, Situation, decide

HURT = Situation(champion=3, harm="confirmed", rows=400)
WINNER, LOSER, OPEN = Shadow(4, wins=True, evidence=31, rows=80), Shadow(4, loses=True, evidence=0.1, rows=80), Shadow(4, evidence=3, rows=80)
OLD_WINS, OLD_OPEN = Shadow(2, wins=True, evidence=120, rows=500), Shadow(2, evidence=2, rows=500)

TABLE = [
    # situation, action, words of the reason, words of what would change it
    (Situation(looks=0), "keep", "has not been watched", "Watch it"),
    (Situation(harm="none"), "keep", "Nothing speaks against", "broken promise"),
    (Situation(harm="benign drift", rows=5000), "keep", "promise still holds", "broken promise"),
    (Situation(harm="possible", rows=5000), "keep", "too few labels", "Labels"),
    (Situation(harm="incident", rows=5000), "keep", "input is broken", "Mend the input"),
    (replace(HURT, harm="incident"), "keep", "must not learn from it", "next clean batch"),
    (replace(HURT, harm="incident", shadow=WINNER), "keep", "input is broken", "Mend"),
    (replace(HURT, harm="incident", predecessor=OLD_WINS), "keep", "input is broken", "Mend"),
    (HURT, "retrain", "400 labelled rows", "must beat the champion"),
    (replace(HURT, rows=40), "keep", "only 40 labelled rows", "110 more labelled rows"),
    (replace(HURT, rows=150), "retrain", "150 labelled rows", "must beat"),
    (replace(HURT, rows_since_attempt=30), "keep", "only 30 labelled rows have come since", "120 more"),
    (replace(HURT, rows_since_attempt=150), "retrain", "learn from them", "must beat"),
    (replace(HURT, recovered=True), "keep", "keep it again", "Should they stop"),
    (replace(HURT, tries=1, rows_since_attempt=200), "retune", "one attempt did not mend it", "must beat"),
    (replace(HURT, tries=2, rows_since_attempt=200), "retrain", "again after 2 attempts", "must beat"),
    (replace(HURT, tries=3, rows_since_attempt=200), "retune", "3 attempts did not mend it", "must beat"),
    (replace(HURT, tries=1, rows_since_attempt=30), "keep", "only 30", "120 more"),
    (replace(HURT, shadow=WINNER), "promote", "Version 4 beats version 3 on 80 later labelled rows (evidence 31 to 1)", "rolled back should"),
    (Situation(champion=3, harm="none", shadow=WINNER), "promote", "Version 4 beats", "rolled back should"),
    (replace(HURT, shadow=LOSER), "discard", "Version 4 does worse than version 3", "another attempt"),
    (replace(HURT, shadow=OPEN), "keep", "cannot be told apart yet (evidence 3 to 1)", "Each labelled row"),
    (replace(HURT, shadow=replace(OPEN, rows=1000)), "discard", "cannot be told from", "another attempt"),
    (replace(HURT, shadow=replace(WINNER, rows=5000)), "promote", "beats", "rolled back"),
    (Situation(champion=3, predecessor=OLD_WINS), "roll back", "Version 2, which it replaced, does better on 500 labelled rows", "same promise"),
    (replace(HURT, predecessor=OLD_WINS, shadow=WINNER), "roll back", "evidence 120 to 1", "same promise"),
    (Situation(champion=3, predecessor=OLD_OPEN), "keep", "Nothing speaks", "broken"),
    (replace(HURT, predecessor=OLD_OPEN), "retrain", "learn from them", "must beat"),
]


@pytest.mark.parametrize(("situation", "action", "reason", "then"), TABLE)
def test_the_ladder(situation, action, reason, then):
    decision = decide(situation)
    assert decision.action == action
    assert reason in decision.reason
    assert then in decision.next


def test_settings_move_the_rungs():
    assert decide(HURT, PolicySettings(least_rows=500)).action is Action.KEEP
    assert decide(HURT, PolicySettings(retrains_before_retune=0)).action is Action.RETUNE
    assert decide(replace(HURT, tries=1), PolicySettings(retrains_before_retune=2)).action is Action.RETRAIN
    rested = replace(HURT, rows_since_attempt=500, hours_since_attempt=3.0)
    waiting = decide(rested, PolicySettings(rest_hours=24))
    assert waiting.action is Action.KEEP
    assert "3.0 hours ago" in waiting.reason
    assert decide(rested, PolicySettings(rest_hours=2)).action is Action.RETRAIN


@pytest.mark.parametrize("wrong", [{"least_rows": 0}, {"patience": 0}, {"rest_hours": -1.0}, {"retrains_before_retune": -1}])
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        PolicySettings(**wrong)


shadows = st.none() | st.builds(Shadow, st.integers(1, 9), st.booleans(), st.booleans(), st.floats(0, 1e9), st.integers(0, 10**6))
situations = st.builds(
    Situation,
    champion=st.integers(1, 9),
    harm=st.sampled_from(["none", "benign drift", "possible", "confirmed", "incident"]),
    looks=st.integers(0, 100),
    rows=st.integers(0, 10**6),
    rows_since_attempt=st.none() | st.integers(0, 10**6),
    hours_since_attempt=st.none() | st.floats(0, 1e6),
    recovered=st.booleans(),
    tries=st.integers(0, 20),
    shadow=shadows,
    predecessor=shadows,
)


@given(situations)
def test_no_situation_leads_to_an_action_without_its_evidence(situation):
    decision = decide(situation)
    assert decision.reason
    assert decision.next
    if situation.harm == "incident":
        assert decision.action is Action.KEEP
    if decision.action in (Action.RETRAIN, Action.RETUNE):
        assert situation.harm == "confirmed"
        assert situation.rows >= 150
        assert situation.shadow is None
    if decision.action is Action.PROMOTE:
        assert situation.shadow.wins
    if decision.action is Action.ROLL_BACK:
        assert situation.predecessor.wins
    if decision.action is Action.DISCARD:
        assert situation.shadow is not None
        assert not situation.shadow.wins
