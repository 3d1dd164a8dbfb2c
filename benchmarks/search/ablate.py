"""What each ingredient of the model is worth: the same searches with one of them taken out or changed.

    python benchmarks/search/ablate.py --kinds real smooth --seeds 2 --jobs 2 --write
    python benchmarks/search/ablate.py --workers 8 --kinds real --seeds 2 --jobs 2 --write

A variant puts something else in the place of a private name of ``staytuned.samplers`` while it runs. Regret is measured against ``reference.json`` and
whatever better any variant found; differences are paired over problems, with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

import ground  # noqa: F401
import numpy as np
from problems import ALL
from provenance import RESULTS, markdown, provenance, stored, written
from reference import read
from report import interval
from run import Outcome, run_one

from staytuned.goal import Goal
from staytuned.samplers import _acquire, _gp, _surface, auto
from staytuned.samplers._evidence import Evidence
from staytuned.samplers._gp import Posterior
from staytuned.samplers.auto import Auto
from staytuned.samplers.bayes import Bayes

Patches = Sequence[tuple[Any, str, Any]]
AT = (25, 50, 100)


def _standardised(losses: np.ndarray) -> np.ndarray:
    finite = np.isfinite(losses)
    values = np.where(finite, losses, losses[finite].max() if finite.any() else 0.0)
    return (values - values.mean()) / (values.std() or 1.0)


def _as_if_alone(self: Posterior, x: np.ndarray) -> Posterior:  # noqa: ARG001 - in the place of ``believing``
    return self


def _often_tpe(self: Auto, evidence: Evidence, index: int = 0) -> Any:
    turn = evidence.length + index
    return self._tpe if turn >= 10 and turn % 5 == 0 else self._bayes


VARIANTS: Mapping[str, Patches] = {
    "as it is": (),
    "no input warp": ((_gp, "_WARP_BOUNDS", (0.0, 0.0)),),
    "losses standardised only": ((_surface, "transformed", _standardised),),
    "10 points before the model": ((auto, "Bayes", partial(Bayes, start=10)),),
    "kernel fitted from one start": ((_surface, "_BOTH_STARTS", 11),),
    "kernel refitted every 5 trials": ((_surface, "_EVERY_TRIAL", 10),),
    "no climbing over the mixed space": ((_acquire, "_ROUNDS", 0),),
    "no gradient polish": ((_acquire, "_POLISHED", 0),),
    "a fifth of the trials by tpe": ((Auto, "_expert", _often_tpe),),
}
AT_ONCE: Mapping[str, Patches] = {
    "as it is": (),
    "what is under way only not repeated": ((Posterior, "believing", _as_if_alone),),
}


def ablated(job: tuple[str, str, int, int]) -> tuple[str, str, Outcome]:
    """One search of 100 trials: (variant, problem, what it found)."""
    variant, problem, seed, workers = job
    with ExitStack() as stack:
        for place, name, instead in {**VARIANTS, **AT_ONCE}[variant]:
            stack.enter_context(patch.object(place, name, instead))
        return variant, problem, run_one(problem, _auto, seed, AT[-1], workers)


def _auto(space: Any, seed: int) -> Auto:
    return Auto(space, Goal(), seed)


def table(results: Sequence[tuple[str, str, Outcome]], variants: Sequence[str], problems: Sequence[str]) -> list[list[str]]:
    """A row per variant: mean regret at 25, 50 and 100 trials, the paired difference to the first at 25 and 100, CPU seconds of thinking."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    for variant, problem, outcome in results:
        found.setdefault((variant, problem), []).append(outcome)
    known = read()
    best = {p: min([known[p].best, *(min(o.losses) for v in variants for o in found[v, p])]) for p in problems}

    def regrets(variant: str, at: int) -> np.ndarray:
        each = [np.mean([min(o.losses[:at]) for o in found[variant, p]]) for p in problems]
        return np.array([(loss - best[p]) / (known[p].median - best[p]) for loss, p in zip(each, problems, strict=True)])

    rows = []
    for variant in variants:
        beside = [_difference(regrets(variant, at) - regrets(variants[0], at)) if variant != variants[0] else "" for at in (25, 100)]
        thinking = np.mean([max(o.seconds.values(), default=0.0) for p in problems for o in found[variant, p]])
        rows.append([variant, *(f"{regrets(variant, at).mean():.3f}" for at in AT), *beside, f"{thinking:.2f}"])
    return rows


def _difference(differences: np.ndarray) -> str:
    low, high = interval(differences)
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["real", "smooth"], choices=["real", "smooth", "odd"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="trials at once; above 1 the ways to treat them are compared")
    parser.add_argument("--only", nargs="+", help="these variants besides 'as it is'")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    options = parser.parse_args(arguments)
    variants = [v for v in (VARIANTS if options.workers == 1 else AT_ONCE) if not options.only or v in ("as it is", *options.only)]
    problems = [name for name, problem in ALL.items() if problem.kind in options.kinds]
    jobs = [(v, p, seed, options.workers) for seed in range(options.seeds) for v in variants for p in problems]
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        rows = table(list(pool.map(ablated, jobs)), variants, problems)
    headers = ["variant", *(f"@{at}" for at in AT), "difference @25", "difference @100", "CPU s of thinking"]
    print(markdown(headers, rows))
    if options.write:
        made = provenance("search/ablate.py", arguments)
        name = "ablations" if options.workers == 1 else f"ablations-{options.workers}-at-once"
        about = f"Mean regret of `auto` over {len(problems)} problems ({', '.join(options.kinds)}), {options.seeds} seeds, trials at once: {options.workers}."
        text = f"# What each ingredient is worth\n\n{written(made)}\n\n{about}\n\n{markdown(headers, rows)}"
        stored(RESULTS, name, {"made": made, "rows": [dict(zip(headers, row, strict=True)) for row in rows]}, text)


if __name__ == "__main__":
    main(sys.argv[1:])
