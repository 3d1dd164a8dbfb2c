"""Generators made from a seed and a place; nothing else in staytuned makes randomness.

The same (seed, place) gives the same numbers in any process, which is what makes a resumed
study repeat the one that was never stopped.
"""

import zlib

import numpy as np


def generator(seed: int, *place: int | str) -> np.random.Generator:
    """A generator for one place in the program, say ``generator(seed, "sobol", trial_number)``."""
    return np.random.default_rng([seed, *(_word(part) for part in place)])


def integer(seed: int, *place: int | str) -> int:
    """A non-negative 31-bit integer for code that wants a plain seed."""
    return int(generator(seed, *place).integers(2**31 - 1))


def fresh_seed() -> int:
    """A seed nobody chose; it is recorded, so that the run can be repeated."""
    return int(np.random.SeedSequence().generate_state(1)[0]) % (2**31 - 1)


def _word(part: int | str) -> int:
    return zlib.crc32(part.encode()) if isinstance(part, str) else int(part)
