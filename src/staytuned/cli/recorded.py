"""A study as a ledger has it, read without writing to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from staytuned.cli.listed import unknown
from staytuned.goal import Goal
from staytuned.protocols import Ledger
from staytuned.space.codec import space_from_json
from staytuned.space.space import Space
from staytuned.story import Story


@dataclass(frozen=True)
class Recorded:
    """A study.

    Args:
        space: what may vary, for a define-by-run study as far as is known; None where it holds Python objects, whose values are named by their places.
        began, last: Unix time in seconds of the first and the last fact.
    """

    name: str
    goal: Goal
    space: Space | None
    story: Story
    began: float
    last: float


def recorded(ledger: Ledger, name: str) -> Recorded:
    """The study of this name.

    Raises:
        NotFoundError: there is none; the message names those there are.
    """
    facts = ledger.read(f"study/{name}")
    founded = next((fact.body for fact in facts if fact.kind == "founded"), None)
    if founded is None:
        raise unknown(name, ledger, bool(facts))
    goal, stored = Goal.parse(founded["goal"]), founded["space"]
    opaque = stored is not None and "opaque" in stored
    story = Story(goal, None if stored is None or opaque else space_from_json(stored))
    for fact in facts:
        story.take_in(replace(fact, body=_by_place(fact.body)) if opaque else fact)
    return Recorded(name, goal, None if opaque else story.space, story, facts[0].at, facts[-1].at)


def _by_place(value: Any) -> Any:
    """With ``choice 3`` for a Python object that the ledger knows by its place among the choices."""
    if isinstance(value, dict):
        if set(value) == {"choice"} and isinstance(value["choice"], int):
            return f"choice {value['choice']}"
        return {name: _by_place(part) for name, part in value.items()}
    return [_by_place(part) for part in value] if isinstance(value, list) else value
