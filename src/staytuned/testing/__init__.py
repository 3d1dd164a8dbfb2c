"""Exams that ours take and yours may take too, and problems with known answers."""

from staytuned.testing.detector_laws import DETECTOR_LAWS, check_detector
from staytuned.testing.executor_laws import EXECUTOR_LAWS, check_executor
from staytuned.testing.ledger_laws import LEDGER_LAWS, check_ledger
from staytuned.testing.problems import PROBLEMS, Problem
from staytuned.testing.sampler_laws import SAMPLER_LAWS, check_sampler

__all__ = [
    "DETECTOR_LAWS",
    "EXECUTOR_LAWS",
    "LEDGER_LAWS",
    "PROBLEMS",
    "SAMPLER_LAWS",
    "Problem",
    "check_detector",
    "check_executor",
    "check_ledger",
    "check_sampler",
]
