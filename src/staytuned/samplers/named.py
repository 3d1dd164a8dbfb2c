"""From a method's name to its sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.protocols import Sampler
from staytuned.samplers.auto import Auto
from staytuned.samplers.bayes import Bayes
from staytuned.samplers.evolution import Evolution
from staytuned.samplers.grid import Grid
from staytuned.samplers.manual import Manual
from staytuned.samplers.random import Random
from staytuned.samplers.sobol import Sobol
from staytuned.samplers.tpe import TPE
from staytuned.space.space import Space

_MAKERS: Mapping[str, Callable[[Space, Goal, int], Sampler]] = {
    "manual": Manual,
    "grid": Grid,
    "random": Random,
    "sobol": Sobol,
    "bayes": Bayes,
    "tpe": TPE,
    "evolution": Evolution,
    "auto": Auto,
}

METHODS = tuple(_MAKERS)


def named(method: str, space: Space, goal: Goal, seed: int) -> Sampler:
    """The sampler of this name, with its defaults.

    Raises:
        UsageError: no method has this name.

    >>> from staytuned.space.dims import Float
    >>> named("sobol", Space({"x": Float(0, 1)}), Goal(), seed=0).name
    'sobol'
    """
    maker = _MAKERS.get(str(method).lower())
    if maker is None:
        near = get_close_matches(str(method).lower(), METHODS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"method={method!r} is not known; {hint}The methods are {', '.join(METHODS)}")
    return maker(space, goal, seed)
