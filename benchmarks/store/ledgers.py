"""The same study in our ledger and in Optuna's storages: random search over ten floats, so that next to nothing but the storage is measured."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from staytuned.errors import TrialPruned
from staytuned.open_trial import OpenTrial
from staytuned.space.dims import Float
from staytuned.space.space import Space
from staytuned.study import Study

NAMES = tuple(f"x{n}" for n in range(10))
SPACE = Space({name: Float(0, 1) for name in NAMES})
REPORTS = 3


class Bench(Protocol):
    """A study, new or continued, that can be worked on."""

    def ask_and_tell(self) -> None:
        """One trial without any work in it."""
        ...

    def optimize(self, trials: int) -> None:
        """So many trials with three reports each."""
        ...

    def ended(self) -> int:
        """How many trials have a score."""
        ...


class Ours:
    """A study of ours in an SQLite file or on a server."""

    def __init__(self, place: str) -> None:
        self.study = Study("bench", space=SPACE, sampler="random", scheduler="none", ledger=place, seed=0)

    def ask_and_tell(self) -> None:
        self.study.tell(self.study.ask(), 1.0)

    def optimize(self, trials: int) -> None:
        self.study.optimize(_reporting, trials=trials)

    def ended(self) -> int:
        self.study.refresh()
        return sum(trial.status == "done" for trial in self.study.trials)


class Optunas:
    """A study of Optuna's in one of its storages."""

    def __init__(self, storage: Any) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        self._ranges = {name: optuna.distributions.FloatDistribution(0, 1) for name in NAMES}
        sampler, pruner = optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
        self.study = optuna.create_study(study_name="bench", storage=storage, sampler=sampler, pruner=pruner, load_if_exists=True)

    def ask_and_tell(self) -> None:
        self.study.tell(self.study.ask(self._ranges), 1.0)

    def optimize(self, trials: int) -> None:
        self.study.optimize(_reporting_to_optuna, n_trials=trials)

    def ended(self) -> int:
        return sum(trial.state.name == "COMPLETE" for trial in self.study.get_trials(deepcopy=False))


def _reporting(trial: OpenTrial) -> float:
    for step in range(REPORTS):
        trial.report(sum(trial.config.values()), step)
        if trial.should_prune():
            raise TrialPruned
    return float(sum(trial.config.values()))


def _reporting_to_optuna(trial: Any) -> float:
    values = [trial.suggest_float(name, 0, 1) for name in NAMES]
    for step in range(REPORTS):
        trial.report(sum(values), step)
        trial.should_prune()
    return sum(values)


def _optuna_sqlite(folder: Path) -> Bench:
    import optuna

    # The default wait is 5 seconds, after which workers fail; a minute gives them every chance to get through.
    return Optunas(optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}", engine_kwargs={"connect_args": {"timeout": 60}}))


def _optuna_sqlite_default(folder: Path) -> Bench:
    return Optunas(f"sqlite:///{folder / 'optuna.db'}")


def _optuna_journal(folder: Path) -> Bench:
    import optuna

    return Optunas(optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "optuna.log"))))


LEDGERS: dict[str, Callable[[Path], Bench]] = {
    "staytuned, SQLite": lambda folder: Ours(str(folder / "staytuned.db")),
    "Optuna, SQLite": _optuna_sqlite_default,
    "Optuna, SQLite, patient": _optuna_sqlite,
    "Optuna, journal file": _optuna_journal,
}
OURS = "staytuned, SQLite"
