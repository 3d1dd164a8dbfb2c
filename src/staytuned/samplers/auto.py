"""The method for those who would rather not choose: each part of a search is answered by what does best there."""

from __future__ import annotations

from staytuned.goal import Goal
from staytuned.samplers._cube import Cube
from staytuned.samplers._evidence import Evidence, Reader, in_turn
from staytuned.samplers.bayes import Bayes
from staytuned.samplers.sobol import Sobol
from staytuned.samplers.tpe import TPE
from staytuned.space.space import Config, Space
from staytuned.trial import History

_EXPLORE = range(25, 60)  # trials among which every fourth looks elsewhere
_EXPLORE_EVERY = 4
_MODEL_UNTIL = 200
_MODEL_EVERY = 5


class Auto:
    """Sobol points first, then the Gaussian process for 200 trials, then mostly TPE.

    Between trials 25 and 60 every fourth config comes from TPE, which finds what the model believes is not there. Beyond 200 trials the model
    has found the optimum or is stuck, so TPE proposes, at a fraction of the time, and the model every fifth config. A small finite space is walked
    to its end in the order of the model's hopes.
    """

    name = "auto"

    def __init__(self, space: Space, goal: Goal, seed: int = 0) -> None:
        self._reader = Reader(Cube(space), goal)
        self._bayes = Bayes(space, goal, seed)
        self._tpe = TPE(space, goal, seed)
        self._sobol = Sobol(space, goal, seed)

    def ask(self, history: History, n: int = 1) -> list[Config]:
        """``n`` new configs.

        Raises:
            SpaceExhausted: every config of a finite space has been tried.
        """
        return in_turn(self._reader.read(history), n, lambda evidence, index: self._expert(evidence, index).propose(evidence, index))

    def origin(self, history: History) -> str:
        """The name of the method that answers the next ask for one config: "sobol", "bayes" or "tpe"."""
        return self._expert(self._reader.read(history)).name

    def _expert(self, evidence: Evidence, index: int = 0) -> Sobol | Bayes | TPE:
        turn = evidence.length + index
        if self._bayes.begins(evidence):
            return self._sobol
        if turn in _EXPLORE:
            return self._tpe if turn % _EXPLORE_EVERY == 0 else self._bayes
        return self._tpe if turn >= _MODEL_UNTIL and turn % _MODEL_EVERY else self._bayes
