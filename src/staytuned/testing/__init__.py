"""Exams that ours take and yours may take too, and problems with known answers."""

from staytuned.testing.problems import PROBLEMS, Problem
from staytuned.testing.sampler_laws import SAMPLER_LAWS, check_sampler

__all__ = ["PROBLEMS", "SAMPLER_LAWS", "Problem", "check_sampler"]
