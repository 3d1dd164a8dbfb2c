"""Join a study as one more worker."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from staytuned.cli.options import Method
from staytuned.cli.places import existing
from staytuned.errors import UsageError
from staytuned.trial import Trial


def work(
    ledger: Annotated[str, typer.Argument(metavar="LEDGER", help="The ledger that the study is in: a path, or a URL such as postgresql://user@host/database.")],
    study: Annotated[str, typer.Option(metavar="NAME", help="The study to join.")],
    objective: Annotated[str, typer.Option(metavar="WHERE", help="module:function, importable from here, or file.py:function.")],
    trials: Annotated[int | None, typer.Option(metavar="NUMBER", help="Trials of this worker at most.")] = None,
    total: Annotated[int | None, typer.Option(metavar="NUMBER", help="Trials of the study in all, whoever runs them, at which to stop.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="For this worker at most.")] = None,
    n_jobs: Annotated[int | None, typer.Option("--n-jobs", "-j", metavar="NUMBER", help="Worker processes; -1 for all processors.")] = None,
    method: Annotated[Method, typer.Option(help="How to search; the same one for all workers, if it matters.")] = Method["auto"],
    scheduler: Annotated[str | None, typer.Option(metavar="NAME", help="How effort is rationed; as in the script that made the study.")] = None,
    fidelity: Annotated[float | None, typer.Option(metavar="SHARE", help="The least share of the full effort; as in the script that made the study.")] = None,
    trial_timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="For one trial.")] = None,
) -> None:
    """Join a study that was made elsewhere: goal and space come from the ledger, the objective from here."""
    from staytuned.cli.listed import unknown
    from staytuned.study import Study

    store = existing(ledger)
    founded = store.read(f"study/{study}", kind="founded")
    if not founded:
        raise unknown(study, store, bool(store.read(f"study/{study}")))
    function = found_at(objective)
    joined = Study(study, goal=founded[0].body["goal"], ledger=store, sampler=str(method), scheduler=scheduler, fidelity=fidelity)
    endless = founded[0].body["space"] is None or joined.space.size is None
    if endless and trials is None and total is None and timeout is None:
        raise UsageError(f"work on study {study!r} would never end by itself; give --trials, --total or --timeout")
    typer.echo(f"joining study {study}: {joined.goal}, {len(joined.trials):,} trials so far", err=True)
    metric = joined.goal.metric

    def tell(trial: Trial) -> None:
        scored = f"{metric} {joined.goal.score(trial):.6g}" if trial.scores else trial.cure
        typer.echo(f"trial {trial.number} {trial.status}: {scored}, {trial.cost.seconds:.1f} s")

    joined.optimize(function, trials=trials, total=total, timeout=timeout, n_jobs=n_jobs, trial_timeout=trial_timeout, on_trial=tell)
    typer.echo(f"ended because {joined.why_ended}", err=True)


def found_at(where: str) -> Any:
    """The function at ``module:function`` or ``file.py:function``; a file's may be left out if it is called ``objective``.

    Raises:
        UsageError: there is none, or the module cannot be imported.
    """
    place, _, name = where.rpartition(":") if not where.endswith(".py") else (where, ":", "objective")
    if not place or not name:
        raise UsageError(f"--objective {where!r} must read like module:function or file.py:function")
    module = _from_file(where, Path(place)) if place.endswith(".py") else _imported(where, place)
    function = getattr(module, name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if callable(value) and getattr(value, "__module__", None) == module.__name__]
        raise UsageError(f"--objective {where!r}: {place!r} has no function {name!r}; it has {', '.join(there[:10]) or 'none'}")
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)  # worker processes need not find it
    return function


def _imported(where: str, name: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise UsageError(f"--objective {where!r}: the module {name!r} cannot be imported ({problem}); start this where it lies, or name its file") from problem
    except Exception as problem:
        raise _broken(where, problem) from problem


def _from_file(where: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"--objective {where!r}: no such file: {str(path)!r}")
    if str(path.absolute().parent) not in sys.path:
        sys.path.insert(0, str(path.absolute().parent))  # for what lies beside it
    name = path.stem if path.stem not in sys.modules else f"objective_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--objective {where!r}: {str(path)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        del sys.modules[name]
        raise _broken(where, problem) from problem
    return module


def _broken(where: str, problem: Exception) -> UsageError:
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return UsageError(f"--objective {where!r}: {type(problem).__name__}: {problem} (in {last.filename}, line {last.lineno}); mend it first")
