"""Five seams, few methods each; what we ship fits them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from staytuned import protocols
from staytuned.goal import Goal
from staytuned.protocols import Detector, Evaluator, Fact, Ledger, Sampler, Scheduler
from staytuned.samplers.named import METHODS, named
from staytuned.schedulers.median import MedianRule
from staytuned.space.dims import Float
from staytuned.space.space import Space
from staytuned.stats import stream
from staytuned.store.memory import MemoryLedger
from staytuned.store.sql import SqlLedger

SEAMS = (Sampler, Scheduler, Evaluator, Ledger, Detector)


def _methods(seam: type) -> list[str]:
    return [name for name, member in vars(seam).items() if (inspect.isfunction(member) and not name.startswith("_")) or isinstance(member, property)]


def test_there_are_five_seams_on_one_page() -> None:
    found = {thing for thing in vars(protocols).values() if getattr(thing, "_is_protocol", False) and thing.__module__ == protocols.__name__}
    assert found == set(SEAMS)


@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.__name__)
def test_a_seam_is_narrow_and_explained(seam: type) -> None:
    assert len(_methods(seam)) <= 5
    assert seam.__doc__
    assert all(inspect.getdoc(getattr(seam, name)) for name in _methods(seam))


@pytest.mark.parametrize("method", METHODS)
def test_our_samplers_fit(method: str) -> None:
    sampler = named(method, Space({"x": Float(0, 1)}), Goal(), 0)
    assert isinstance(sampler, Sampler)
    assert sampler.name == method
    assert _arguments(sampler.ask) == _arguments(Sampler.ask)[1:]


def test_our_scheduler_fits() -> None:
    assert isinstance(MedianRule(Goal()), Scheduler)
    for name in _methods(Scheduler):
        assert _arguments(getattr(MedianRule, name)) == _arguments(getattr(Scheduler, name))


@pytest.mark.parametrize("ledger", [MemoryLedger, SqlLedger])
@pytest.mark.parametrize("method", _methods(Ledger))
def test_our_ledgers_fit(ledger: type, method: str) -> None:
    assert _arguments(getattr(ledger, method)) == _arguments(getattr(Ledger, method))


def _detectors() -> list[type]:
    return [cls for cls in vars(stream).values() if inspect.isclass(cls) and cls.__module__ == stream.__name__ and hasattr(cls, "drifted")]


def test_there_are_detectors() -> None:
    assert _detectors()


@pytest.mark.parametrize("detector", _detectors(), ids=lambda cls: cls.__name__)
def test_our_detectors_fit(detector: type) -> None:
    assert isinstance(detector.drifted, property)  # type: ignore[attr-defined]
    assert len(_arguments(detector.update)) == 2  # type: ignore[attr-defined]


def test_what_fits_no_seam_is_told_apart() -> None:
    assert not isinstance(object(), Sampler)
    assert not isinstance(MemoryLedger(), Scheduler)
    assert not isinstance(Fact("a", "b"), Detector)


def _arguments(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)
