"""What tests of studies have in common."""

from __future__ import annotations

from typing import Any

import staytuned as st
from staytuned.open_trial import OpenTrial
from staytuned.study import Study
from staytuned.trial import Status

LINE = {"x": st.Float(-1, 1)}
SMALL = {"n": st.Int(1, 3), "kind": st.Choice(["a", "b"])}


def square(trial: OpenTrial) -> float:
    return float(trial.config["x"] ** 2)


def statuses(study: Study) -> list[Status]:
    return [trial.status for trial in study.trials]


def story(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.config, dict(t.scores), t.seed, t.origin, t.status) for t in study.trials]
