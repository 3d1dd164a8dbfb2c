"""Bayesian optimisation: a Gaussian process says what is known, and the most worthy config is tried next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from staytuned._random import generator
from staytuned.goal import Goal, nondominated
from staytuned.samplers._acquire import propose
from staytuned.samplers._belief import Belief
from staytuned.samplers._cube import Array, Cube
from staytuned.samplers._elite import elite
from staytuned.samplers._evidence import Evidence, Reader, in_turn
from staytuned.samplers._gp import Posterior, features
from staytuned.samplers._region import nearest, region
from staytuned.samplers._surface import Failures, Limit, Loss, Mixture, Surfaces, Target
from staytuned.samplers._threads import one_thread
from staytuned.samplers._worth import Believed, Hypervolume, Improvement, Keeps, Term, Worth
from staytuned.samplers.sobol import Sobol
from staytuned.space.space import Config, Space
from staytuned.trial import History, Trial

_START = 4
_AGAIN = 5  # trials that only run an earlier study's best again, and tell nothing of the rest of the space
_EXACT = 0.01  # share of the variance under which the noise is overlooked
_PARENTS = 5
_FAR_BEHIND = 10.0
_MANY_FAILURES = 0.05
_NEARLY_WORST = 0.9
_BEYOND = 0.1  # of the front's extent, by which the reference point lies behind it


class Bayes:
    """One model over the whole mixed, conditional space (kernel, warps and priors in ``_gp``, acquisition in ``_worth`` and ``_acquire``).

    The first four trials are Sobol points, or drawn from the priors where the space has some. Trials under way are taken to end as the model expects
    (the kriging believer of Ginsbourger et al. 2010), so that parallel proposals keep apart. Failures count as the worst value kept, with little
    weight, and where more than one in twenty trials fails, the chance of success is learned as well. Trials stopped early count with the score they
    were given, with less weight. Each limit of the goal has a model of its own. Two objectives are searched by expected hypervolume, more by
    Tchebycheff mixtures (Knowles 2006), a new one for each trial.

    Args:
        start: configs in all before the model is asked.
        limit: trials the model looks at, at most. Beyond it the search is local: a region around the best that shrinks while nothing is
            found, then moves (in the manner of Eriksson et al. 2019), and the model sees what lies next to it.
        past: the trials of earlier studies; only their order counts, and only as far as it fits.
    """

    name = "bayes"

    def __init__(self, space: Space, goal: Goal, seed: int = 0, start: int = _START, limit: int = 200, *, past: Sequence[Sequence[Trial]] = ()) -> None:
        self._seed, self._start, self._limit = seed, start, limit
        self._goal = goal
        self._cube = Cube(space)
        self._surfaces = Surfaces(self._cube, limit, seed)
        self._reader = Reader(self._cube, goal)
        self._sobol = Sobol(space, goal, seed)
        with one_thread():
            self._belief = Belief.of(self._cube, goal, past, seed)
        self._start += _AGAIN * bool(self._belief.orders)

    def ask(self, history: History, n: int = 1) -> list[Config]:
        """``n`` new configs.

        Raises:
            SpaceExhausted: every config of a finite space has been tried.
        """
        return in_turn(self._reader.read(history), n, self.propose)

    def begins(self, evidence: Evidence) -> bool:
        """Whether there is too little to learn from yet, so that a point of the even cover is due."""
        return len(evidence.rows) + len(evidence.pending) < self._start or evidence.scored < 3 or not self._surfaces.plan.groups

    def propose(self, evidence: Evidence, index: int = 0) -> Config:
        """The config to try after this evidence, the ``index``-th of its batch."""
        rng = generator(self._seed, self.name, evidence.length, index)
        if self.begins(evidence):
            return self._first(evidence, index, rng)
        with one_thread():
            return self._modelled(evidence, rng)

    def _modelled(self, evidence: Evidence, rng: np.random.Generator) -> Config:
        """What the models hold most worthy."""
        area = region(evidence, self._limit, self._seed)
        seen = evidence.at(self._surfaces.kept(evidence) if area.width >= 2.0 else nearest(evidence, area.centre, self._limit))
        terms, parents = self._objective_terms(evidence, seen, rng)
        belief = self._belief.given(seen)
        if not belief.trivial:
            terms.append(Believed(belief, belief.weight(evidence.scored)))
        return propose(evidence, Worth(terms), parents, area, rng)

    def _first(self, evidence: Evidence, index: int, rng: np.random.Generator) -> Config:
        """What the experts hold best, then points spread as they believe; without priors points spread evenly."""
        if not self._belief.hunches:
            return self._sobol.propose(evidence, index)
        mode = self._belief.mode() if evidence.length == 0 and index == 0 else None
        rows = self._cube.snap(self._belief.spread(rng.random((64, len(self._cube.space)))))
        for row in rows if mode is None else np.vstack([mode, rows]):
            config = self._cube.config(row)
            if self._cube.key(config) not in evidence.taken and self._cube.space.satisfied(config):
                return config
        return self._sobol.propose(evidence, index)

    def _objective_terms(self, evidence: Evidence, seen: Evidence, rng: np.random.Generator) -> tuple[list[Term], Array]:
        """What the objectives and limits say, and the observed configs to look around.

        Args:
            seen: the part of the evidence that the models look at.
        """
        keeps: list[Term] = [Keeps(self._settled(evidence, seen, target)) for target in self._limits(seen)]
        feasible = seen.feasible & np.isfinite(seen.losses)
        if not feasible.any():
            return keeps, seen.rows[seen.best(_PARENTS)]
        objectives = len(self._goal.objectives)
        if objectives == 2:
            return [self._hypervolume(evidence, seen), *keeps], seen.rows[elite(seen, _PARENTS)]
        target: Target = Loss(0) if objectives == 1 else Mixture(tuple(rng.dirichlet(np.ones(objectives)).tolist()))
        model = self._surfaces.posterior(evidence, seen, target)
        y = target.values(seen)[0]
        means = model.mean(features(model.plan, seen.rows))
        sure = feasible & ~seen.partial if (feasible & ~seen.partial).any() else feasible
        best = float((y if model.sigma2 < _EXACT * model.signal else means)[sure].min())
        parents = seen.rows[np.argsort(np.where(feasible, means, means + _FAR_BEHIND), kind="stable")[:_PARENTS]]
        if len(evidence.pending):
            best = min(best, float(model.mean(features(model.plan, evidence.pending)).min()))
            model = self._believing(model, evidence)
        return [Improvement(model, best), *keeps], parents

    def _limits(self, seen: Evidence) -> list[Target]:
        """What has to be held: the limits of the goal, and success where it is not a matter of course."""
        targets: list[Target] = [Limit(column) for column, excess in enumerate(seen.violations.T) if np.isfinite(excess).any()]
        return [*targets, Failures()] if (~np.isfinite(seen.losses)).mean() > _MANY_FAILURES else targets

    def _hypervolume(self, evidence: Evidence, seen: Evidence) -> Hypervolume:
        feasible = seen.feasible & np.isfinite(seen.losses)
        values = np.stack([Loss(column).values(seen)[0] for column in (0, 1)], axis=1)[feasible]
        front = values[nondominated(values)]
        worst, best = front.max(axis=0), front.min(axis=0)
        # a front of few points says little of how far it reaches; all that was seen does
        reference = np.maximum(worst + _BEYOND * (worst - best), np.quantile(values, _NEARLY_WORST, axis=0))
        return Hypervolume((self._settled(evidence, seen, Loss(0)), self._settled(evidence, seen, Loss(1))), front, reference)

    def _settled(self, evidence: Evidence, seen: Evidence, target: Target) -> Posterior:
        """The model with what is under way taken to end as it expects."""
        return self._believing(self._surfaces.posterior(evidence, seen, target), evidence)

    def _believing(self, model: Posterior, evidence: Evidence) -> Posterior:
        return model.believing(features(model.plan, evidence.pending)) if len(evidence.pending) else model
