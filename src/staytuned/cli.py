"""Every verb, from the shell.

A verb imports what it needs when it is called, so that help and most errors come at once.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shlex
import signal
import sys
import time as clock
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn

import psutil
import typer
import typer.core

from staytuned import __version__
from staytuned.automl.events import Moved, OnEvent, Said
from staytuned.automl.written import read_written
from staytuned.console import Listener, open_console, show_comparison, show_leaderboard, show_table
from staytuned.errors import NotFoundError, StayTunedError, UsageError
from staytuned.samplers.named import METHODS
from staytuned.store.open import open_ledger

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)

HEALTHY, ATTENTION, FAILED = 0, 1, 2
_INTERRUPTED = 130  # what shells say of Ctrl-C
_DEFAULT_SECONDS = 60.0
_AFTERWARDS = 1.0  # seconds to register a model and to write its report
_KINDS = "numeric, categorical, boolean, date, text, identifier, constant"

_COMPARED = ("random", "bayes", "tpe", "auto")
_COMPARE_SECONDS, _COMPARE_TRIALS, _COMPARE_REPEATS = 120.0, 30, 3
_TRIAL_SHARE = 0.15  # of the time, at most, for one trial of a comparison
_TEST_SHARE = 0.1  # of the time, kept for the test of the winners

Method = StrEnum("Method", {name: name for name in METHODS})  # type: ignore[misc]
QualityName = StrEnum("QualityName", ["fast", "balanced", "best"])

LedgerOption = Annotated[
    str, typer.Option("--ledger", metavar="FILE", help="Where everything is remembered: a path, or sqlite:///path.", envvar="STAYTUNED_LEDGER")
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, as 'staytuned models' lists it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; every failure is one line on standard error and exit code 2, unless ``--debug`` asks for the traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if debug:
        logging.basicConfig(level=logging.INFO)
    try:
        code = app(words, prog_name="staytuned", standalone_mode=False)  # a verb's typer.Exit comes back as its code
        sys.stdout.flush()  # here, where a reader that has gone can still be met
        if code == _INTERRUPTED:
            raise KeyboardInterrupt  # which Typer turned into a code
        sys.exit(code or HEALTHY)
    except (typer.Abort, KeyboardInterrupt):
        _complain(f"stopped. Everything finished is saved; to continue: {shlex.join(['staytuned', *words])}", debug)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has gone: not our failure
        sys.exit(HEALTHY)
    except StayTunedError as problem:
        _complain(str(problem), debug)
        sys.exit(FAILED)
    except OSError as problem:
        _complain(_disk_trouble(problem), debug)
        sys.exit(FAILED)
    except Exception as problem:
        if hasattr(problem, "format_message"):  # the command line itself was wrong
            if not words:
                typer.echo(problem.format_message())  # nothing was asked: the help
                sys.exit(FAILED)
            _complain(_command_line_trouble(problem, words), debug)
        else:
            _complain(f"internal error: {type(problem).__name__}: {problem}; run again with --debug and report what it prints", debug)
        sys.exit(FAILED)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"staytuned {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=False)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_say_version)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="After a failure, show where it came from; may stand anywhere.")] = False,
) -> None:
    """Tune a model, watch it, keep it tuned."""


@app.command(short_help="Tune a model on a table, test it once, keep it.")
def tune(
    table: Annotated[str, typer.Argument(metavar="FILE", help="CSV, TSV, Parquet or JSON lines, compressed or not.")],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.")],
    time: Annotated[float | None, typer.Option(metavar="SECONDS", help=f"For everything.  [default: {_DEFAULT_SECONDS:.0f}, if --trials is not given]")] = None,
    trials: Annotated[int | None, typer.Option(metavar="NUMBER", help="Configs to try, the defaults included.")] = None,
    metric: Annotated[str, typer.Option(metavar="NAME", help="auto, or roc_auc, f1, accuracy, rmse, ... or any scikit-learn scorer.")] = "auto",
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What to call the model.  [default: the file's name]")] = None,
    method: Annotated[Method, typer.Option(help="How to search; manual tries only --configs, or only the defaults.")] = Method["auto"],
    quality: Annotated[QualityName, typer.Option(help="fast: cheap models, 3 folds; balanced: all models, 5 folds; best: 10 folds.")] = QualityName["balanced"],
    space: Annotated[str | None, typer.Option(metavar="FILE", help="YAML or JSON file that changes the default spaces.")] = None,
    configs: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML or JSON file with a list of configs to try first; with --method manual, the only ones.")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="binary, multiclass or regression.  [default: inferred]")] = None,
    kind: Annotated[list[str] | None, typer.Option(metavar="COLUMN=KIND", help=f"Where the inferred kind is wrong: {_KINDS}; may be repeated.")] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave out; may be repeated.")] = None,
    groups: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column whose rows must stay together.")] = None,
    time_order: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column to split by time: train on earlier, test on later rows.")] = None,
    test_size: Annotated[float, typer.Option(metavar="SHARE", help="Share of the rows kept for the one test.")] = 0.2,
    cv: Annotated[int | None, typer.Option(metavar="NUMBER", help="Validation folds.  [default: by the table's size]")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="NUMBER", help="Worker processes; -1 for all processors.")] = -1,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="Make the run repeatable.")] = None,
    trial_timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="For one config.  [default: 15 % of the time]")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory for one config, such as 2GB.")] = None,
    ledger: LedgerOption = "staytuned.db",
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Folder for the report and the exported model.")] = "staytuned-out",
    json_: JsonOption = False,
) -> None:
    """Tune a model on a table: read, split, baseline, search, choose, test once, report, keep."""
    from staytuned.automl.automl import AutoML
    from staytuned.automl.read import read_table
    from staytuned.registry import Registry

    console = open_console(stderr=json_)
    _check_folder(Path(out), "--out")
    frame = read_table(table)
    name = _name_of(table) if name is None else name
    store = open_ledger(ledger)
    with Listener(console) as listener, _stoppable(listener) as on_event:
        model = AutoML(
            time=_left_of(_DEFAULT_SECONDS if time is None and trials is None and method != "manual" else time),
            trials=trials,
            metric=metric,
            quality=str(quality),  # type: ignore[arg-type]
            n_jobs=jobs,
            random_state=seed,
            method=str(method),
            space=space,
            configs=_configs(configs),
            test_size=test_size,
            cv=cv,
            task=task,
            kinds=_pairs(kind or []),
            drop=drop or [],
            trial_timeout=trial_timeout,
            memory=_bytes(memory),
            ledger=store,
            name=name,
            on_event=on_event,
        ).fit(frame, target=target, groups=groups, time_order=time_order)
    version = model.keep(store)
    folder = Path(out) / name
    report = model.report(folder / "report.html")
    exported, _ = Registry(store).export(version, folder)
    in_service = Registry(store).champion(name).number
    if json_:
        test = model.result_.test
        body = {
            "model": name,
            "version": version.number,
            "in_service": in_service,
            "metric": model.result_.metric.name,
            "validation": model.result_.tuned.score,
        }
        if (honest := model.result_.tuned.honest) is not None:
            body |= {"validation_corrected": honest.corrected, "validation_interval": [honest.low, honest.high]}
        body |= {"test": test.tuned.point, "test_interval": [test.tuned.low, test.tuned.high], "baseline_test": test.baseline.point if test.baseline else None}
        body |= {
            "config": model.result_.tuned.config,
            "trials": len(model.result_.tuned.study.trials),
            "report": str(report),
            "exported": str(exported),
            "ledger": ledger,
        }
        typer.echo(json.dumps(body, default=str))
        return
    console.print()
    show_leaderboard(console, model.leaderboard(5))
    console.print()
    places = [
        ("model", f"{name}, version {version.number}{' (in service)' if in_service == version.number else ''}, exported to {exported}"),
        ("report", str(report)),
        ("ledger", ledger),
    ]
    for what, where in places:
        console.print(f"{what:>9}  {where}", soft_wrap=True, markup=False)
    if in_service != version.number:
        console.print(
            f"           version {in_service} stays in service; to change that: staytuned promote {shlex.quote(name)} {version.number}",
            soft_wrap=True,
            markup=False,
        )
    console.print(f"     next  staytuned predict {shlex.quote(name)} new.csv -o scored.csv", soft_wrap=True, markup=False)


class _Listing(typer.core.TyperCommand):
    """A verb whose option ``--methods`` takes several names after one another, or with commas between them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words with the option repeated before each of its names."""
        words: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            option, sign, value = word.partition("=")
            if option != "--methods":
                words.append(word)
                continue
            names = [value] if sign else []
            while rest and re.fullmatch(r"[A-Za-z_,]+", rest[0]):  # neither an option nor a file
                names.append(rest.pop(0))
            listed = [name for name in ",".join(names).split(",") if name]
            words += [part for name in listed for part in ("--methods", name)] or ["--methods"]
        return super().parse_args(ctx, words)


@app.command(short_help="Which strategy tunes best here? Compare several.", cls=_Listing)
def compare(
    table: Annotated[str, typer.Argument(metavar="FILE", help="CSV, TSV, Parquet or JSON lines, compressed or not.")],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="The model to tune, such as random_forest; all for the joint space of 'tune'.")] = "lightgbm",
    methods: Annotated[
        list[Method] | None, typer.Option(help=f"The strategies, one after the other.  [default: {' '.join(_COMPARED)}]", show_default=False)
    ] = None,
    trials: Annotated[int | None, typer.Option(metavar="NUMBER", help=f"Configs of each study.  [default: {_COMPARE_TRIALS}]")] = None,
    repeats: Annotated[
        int, typer.Option(metavar="NUMBER", help="Studies of each strategy, each with its own seed; 6 or more can settle it.")
    ] = _COMPARE_REPEATS,
    time: Annotated[float | None, typer.Option(metavar="SECONDS", help=f"For everything.  [default: {_COMPARE_SECONDS:.0f}, if --trials is not given]")] = None,
    metric: Annotated[str, typer.Option(metavar="NAME", help="auto, or roc_auc, f1, accuracy, rmse, ... or any scikit-learn scorer.")] = "auto",
    reference: Annotated[
        Method | None, typer.Option(help="The strategy to measure the others by.  [default: random, or the first]", show_default=False)
    ] = None,
    space: Annotated[str | None, typer.Option(metavar="FILE", help="YAML or JSON file that changes the default spaces.")] = None,
    configs: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML or JSON file with the configs that 'manual' tries.  [default: the models' defaults]")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="binary, multiclass or regression.  [default: inferred]")] = None,
    kind: Annotated[list[str] | None, typer.Option(metavar="COLUMN=KIND", help=f"Where the inferred kind is wrong: {_KINDS}; may be repeated.")] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave out; may be repeated.")] = None,
    groups: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column whose rows must stay together.")] = None,
    time_order: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column to split by time: train on earlier, test on later rows.")] = None,
    test_size: Annotated[float, typer.Option(metavar="SHARE", help="Share of the rows kept for the one test.")] = 0.2,
    cv: Annotated[int | None, typer.Option(metavar="NUMBER", help="Validation folds.  [default: 3, or 1 for a large table]")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="NUMBER", help="Studies at work at once; -1 for all processors.")] = -1,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="Make the comparison repeatable.")] = None,
    trial_timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="For one config.  [default: 15 % of the time]")] = None,
    ledger: LedgerOption = "staytuned.db",
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Folder for the picture of the curves.")] = "staytuned-out",
    json_: JsonOption = False,
) -> None:
    """Run several strategies on one table with the same seeds, and say with intervals which tuned it better. The same command goes on where it ended."""
    from staytuned import comparison
    from staytuned.automl.objective import signature, table_objective
    from staytuned.automl.read import read_table
    from staytuned.plots import figure_png

    console = open_console(stderr=json_)
    _check_folder(Path(out), "--out")
    chosen = [str(method) for method in methods or _COMPARED]
    kinds, by_hand = _pairs(kind or []), _configs(configs)
    frame = read_table(table)
    store = open_ledger(ledger)
    options = (target, model, metric, Path(space) if space else None, task, sorted(kinds.items()), drop, groups, time_order, test_size, cv, seed)
    name = f"{_name_of(table)}-{signature(frame, *options, by_hand if 'manual' in chosen else None)[:8]}"
    problem = table_objective(
        frame,
        target,
        model=model,
        metric=metric,
        space=space,
        cv=cv,
        test_size=test_size,
        groups=groups,
        time_order=time_order,
        task=task,
        kinds=kinds,
        drop=drop or [],
        seed=comparison.recorded_seed(store, name, "", seed),
    )
    seconds = _COMPARE_SECONDS if time is None and trials is None else time
    planned = _COMPARE_TRIALS if trials is None else trials
    left = _left_of(seconds)
    with Listener(console) as listener, _stoppable(listener) as on_event:
        for step, sentence in problem.steps():
            on_event(Said(step, sentence))
        on_event(Said("Compare", f"{', '.join(chosen)}: {repeats} studies of each, up to {planned} trials in each"))
        found = comparison.compare(
            problem.objective,
            problem.plan.space,
            {method: problem.by_hand(by_hand) if method == "manual" else method for method in chosen},
            trials=planned,
            repeats=repeats,
            goal=problem.plan.goal,
            seed=problem.seed,
            n_jobs=jobs,
            time=left if left is None or not left > 0 else (1 - _TEST_SHARE) * left,
            ledger=store,
            name=name,
            reference=None if reference is None else str(reference),
            trial_timeout=trial_timeout if trial_timeout is not None or seconds is None else max(_TRIAL_SHARE * seconds, 2.0),
            on_trial=_told(on_event, problem.plan.goal, planned * repeats * len(chosen), left),
        )
        on_event(Said("Tune", f"{found.why_ended}"))
        tests = {method: problem.tested(trial.config) for method, trial in found.winners.items()}
    picture = Path(out) / _name_of(table) / "compare.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure_png(found.plot(), picture)
    winner = found.winners[found.best]
    if json_:
        body = found.to_json()
        for row in body["strategies"]:
            test = tests.get(row["strategy"])
            row |= {"test": test and test.point, "test_interval": test and [test.low, test.high]}
        typer.echo(json.dumps(body | {"picture": str(picture), "ledger": ledger}, default=str))
        return
    console.print()
    show_comparison(console, found.strategies, tests)
    console.print()
    console.print(found.sentence, markup=False, soft_wrap=not console.is_terminal, style="bold green")
    console.print(
        f"{found.strategies.note} The test scores are each strategy's best config on rows that none had seen.", markup=False, soft_wrap=not console.is_terminal
    )
    console.print()
    values = ", ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in winner.config.items())
    for what, where in [("winner", f"{found.best}: {values}"), ("picture", str(picture)), ("ledger", ledger)]:
        console.print(f"{what:>9}  {where}", soft_wrap=True, markup=False)
    if found.strategies.trials < planned:
        console.print("     next  the same command again goes on from here", soft_wrap=True, markup=False)


@app.command(short_help="List the models kept.")
def models(ledger: LedgerOption = "staytuned.db", json_: JsonOption = False) -> None:
    """List the models kept, and which version of each is in service."""
    from staytuned.registry import Registry

    registry = Registry(_existing(ledger, read_only=True))
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        champion = registry.champion(name)
        for version in registry.versions(name):
            rows.append(
                {
                    "model": name,
                    "version": version.number,
                    "in_service": version.number == champion.number,
                    "made": _when(version.created),
                    "rows": version.lineage.rows,
                }
            )
            rows[-1] |= {
                "metric": version.manifest.get("metric"),
                "scores": dict(version.lineage.scores),
                "reason": version.reason,
                "table": version.lineage.table[:12],
            }
    if json_:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo(f"no models in {ledger!r} yet; make one: staytuned tune FILE --target COLUMN", err=True)
        return
    cells = [
        [
            r["model"],
            r["version"],
            "in service" if r["in_service"] else "",
            r["made"],
            f"{r['rows']:,}",
            r["metric"],
            _scores(r["scores"]),
            r["table"],
            r["reason"],
        ]
        for r in rows
    ]
    show_table(open_console(), ["model", "version", "", "made", "rows", "metric", "scores", "table", "why"], cells)


@app.command(short_help="Score rows with the version in service.")
def predict(
    name: NameArgument,
    table: Annotated[str, typer.Argument(metavar="FILE", help="Rows to score, with the training table's columns.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write: .csv, .tsv, .parquet or .jsonl, packed if it ends in .gz.  [default: CSV on standard output]",
        ),
    ] = None,
    ledger: LedgerOption = "staytuned.db",
) -> None:
    """Score rows with the version in service; every prediction is logged with an id and the version."""
    from staytuned.automl.read import read_table
    from staytuned.steward import Steward

    write = None if output is None else _writer(Path(output))  # before anything is logged
    frame = read_table(table)
    said = Steward(_existing(ledger), name).predict(frame)
    columns = _columns_of(said)
    if hidden := [column for column in columns if column in frame.columns]:
        typer.echo(f"note: the table's own {', '.join(map(repr, hidden))} gave way to what the model says", err=True)
    scored = frame.reset_index(drop=True).drop(columns=hidden).assign(**columns)
    if write is None:
        typer.echo(scored.to_csv(index=False), nl=False)
        return
    write(scored)
    typer.echo(f"{len(scored):,} rows scored by version {said.version} of {name}, logged, and written to {output}", err=True)


@app.command()
def watch(
    name: NameArgument,
    table: Annotated[str, typer.Argument(metavar="FILE", help="Recent rows; with the target column where it is known.")],
    ledger: LedgerOption = "staytuned.db",
    json_: JsonOption = False,
) -> None:
    """Look at recent rows: data quality, drift, performance. Exit code 0 healthy, 1 attention, 2 the check itself failed."""
    from staytuned.automl.read import read_table
    from staytuned.steward import Steward

    health = Steward(_existing(ledger), name).watch(read_table(table))
    if json_:
        typer.echo(json.dumps(health.to_json()))
    else:
        console = open_console()
        console.print(f"{health.verdict.upper()}: {health.sentence}", style="green" if health.verdict == "healthy" else "yellow", markup=False, soft_wrap=True)
        show_table(console, ["part", "what", "level", "finding"], [[f.part, f.subject, f.level, f.message] for f in health.findings])
        if health.scores:
            show_table(
                console,
                ["metric", "now", "promised"],
                [[m, f"{s:.4f}", f"{health.reference_scores.get(m, float('nan')):.4f}"] for m, s in health.scores.items()],
            )
    raise typer.Exit(HEALTHY if health.verdict == "healthy" else ATTENTION)


@app.command(short_help="Retrain, retune, promote or roll back, if need be.")
def tend(name: NameArgument, ledger: LedgerOption = "staytuned.db", json_: JsonOption = False) -> None:
    """Do what the model's health asks for: keep, retrain, retune, promote or roll back; the reason is recorded."""
    from staytuned.steward import Steward

    tended = Steward(_existing(ledger), name).tend()
    if json_:
        typer.echo(
            json.dumps(
                {
                    "action": str(tended.decision.action),
                    "reason": tended.decision.reason,
                    "next": tended.decision.next,
                    "champion": tended.champion,
                    "steps": [str(step) for step in tended.steps],
                }
            )
        )
        return
    for step in tended.steps:
        typer.echo(str(step))
    typer.echo(f"version {tended.champion} is in service")


@app.command()
def history(name: NameArgument, ledger: LedgerOption = "staytuned.db", json_: JsonOption = False) -> None:
    """Tell a model's story: what was made, watched, decided and why."""
    from staytuned.registry import Registry

    events = Registry(_existing(ledger, read_only=True)).story(name)
    if json_:
        typer.echo(json.dumps([{"at": e.at, "kind": e.kind, "sentence": e.sentence} for e in events]))
        return
    show_table(open_console(), ["when", "what", ""], [[_when(e.at), e.kind, e.sentence] for e in events])


@app.command()
def promote(
    name: NameArgument,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version to put in service.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is recorded.")] = "asked for by hand",
    ledger: LedgerOption = "staytuned.db",
) -> None:
    """Put a version in service by hand."""
    from staytuned.registry import Registry

    Registry(_existing(ledger)).promote(name, version, reason)
    typer.echo(f"version {version} of {name} is in service")


@app.command()
def rollback(
    name: NameArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is recorded.")] = "asked for by hand",
    ledger: LedgerOption = "staytuned.db",
) -> None:
    """Put the version before back in service."""
    from staytuned.registry import Registry

    version = Registry(_existing(ledger)).roll_back(name, reason)
    typer.echo(f"version {version.number} of {name} is in service again")


@contextmanager
def _stoppable(listener: Listener) -> Iterator[OnEvent]:
    """The listener, which stops the run after a Ctrl-C even if that fell into compiled code, where Python drops the exception."""
    stopped = False

    def on_signal(*_: object) -> None:
        nonlocal stopped
        stopped = True
        raise KeyboardInterrupt

    def on_event(event: Said | Moved) -> None:
        if stopped:
            raise KeyboardInterrupt
        listener(event)

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield on_event
    finally:
        signal.signal(signal.SIGINT, before)


def _told(on_event: OnEvent, goal: Any, planned: int, seconds: float | None) -> Callable[[str, int, Any], None]:
    """Tells a listener of every trial of a comparison."""
    began, done, failed = clock.monotonic(), 0, 0
    best: Any = None

    def heard(method: str, repeat: int, trial: Any) -> None:  # noqa: ARG001 - the listener shows one line for all
        nonlocal best, done, failed
        done, failed = done + (not trial.status.failed), failed + trial.status.failed
        best = goal.best([trial] if best is None else [best, trial])
        on_event(Moved(trial, best, done, failed, 0, planned, None if seconds is None else began + seconds - clock.monotonic()))

    return heard


def _columns_of(said: Any) -> dict[str, Any]:
    """What was said, as columns."""
    columns: dict[str, Any] = {"prediction_id": said.ids, "prediction": said.prediction.labels}
    if said.prediction.probabilities is not None:
        columns |= {f"probability_{name}": said.prediction.probabilities[:, place] for place, name in enumerate(said.prediction.classes)}
    return columns | {"model_version": said.version}


def _complain(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    typer.echo(f"staytuned: {' '.join(message.split())}", err=True)


def _command_line_trouble(problem: Any, words: Sequence[str]) -> str:
    """What the parser found, with the value it found and the verb whose help tells more."""
    message = problem.format_message().replace("Value error, ", "").rstrip(".")
    option = (getattr(getattr(problem, "param", None), "opts", None) or [""])[0]
    given = next((after for word, after in pairwise(words) if word == option), None) or next(
        (word.partition("=")[2] for word in words if option.startswith("--") and word.startswith(f"{option}=")), None
    )
    if given is not None and repr(given) not in message:
        message = f"{message}: {given!r}"
    verb = words[0] if problem.ctx is None else problem.ctx.info_name if problem.ctx.parent else ""
    return f"{message}; see: {' '.join(['staytuned', verb]).strip()} --help"


def _disk_trouble(problem: OSError) -> str:
    where = f"{str(problem.filename)!r}: " if problem.filename else ""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}the disk is full; free some space and run the same command again"
    return f"{where}{problem.strerror or problem}; check the path and your rights to it"


def _left_of(seconds: float | None) -> float | None:
    """What is left of a budget that began with this process, and must also pay for keeping the model and writing the report."""
    if seconds is None or not seconds > 0:
        return seconds
    spent = clock.time() - psutil.Process().create_time()
    return max(seconds - spent - _AFTERWARDS - 0.02 * seconds, 0.5 * seconds)


def _existing(ledger: str, *, read_only: bool = False) -> Any:
    """The ledger, which a reading verb must not create."""
    path = Path(ledger.removeprefix("sqlite:///"))
    if "://" not in ledger.removeprefix("sqlite:///") and not path.exists():
        raise NotFoundError(f"there is no ledger at {str(path)!r}; run 'staytuned tune' first, or name one with --ledger")
    if path.is_file() and path.stat().st_size == 0:
        raise NotFoundError(f"the ledger {str(path)!r} is empty; run 'staytuned tune' first, or name another with --ledger")
    return open_ledger(ledger, read_only=read_only)


def _name_of(table: str) -> str:
    name = re.sub(r"(\.(csv|tsv|txt|parquet|pq|json|jsonl|ndjson|gz|bz2|xz|zip|zst))+$", "", Path(table).name, flags=re.IGNORECASE)
    return name.replace("/", "-") or "model"


def _configs(path: str | None) -> list[dict[str, Any]]:
    if path is None:
        return []
    body = read_written(path, "configs file")
    if not isinstance(body, list) or not body or not all(isinstance(config, dict) for config in body):
        raise UsageError(f"the configs file {path!r} must hold a list of configs such as '- {{model: svm, svm.C: 10}}'")
    return body


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        column, sign, kind = text.rpartition("=")
        if not sign:
            raise UsageError(f"--kind {text!r} must read like column=categorical")
        pairs[column] = kind
    return pairs


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+\.?\d*)\s*([KMGT]?)(i?B)?\s*", text, flags=re.IGNORECASE)
    if not found or not float(found[1]) > 0:
        raise UsageError(f"--memory {text!r} must read like 500MB or 2GB")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def _writer(path: Path) -> Callable[[Any], None]:
    """Writes a table to a path in the form its ending asks for."""
    name = path.name.lower()
    ending = Path(name).suffix
    if ending == ".gz" and Path(name.removesuffix(".gz")).suffix in (".csv", ".tsv", ".jsonl", ".ndjson"):
        ending = Path(name.removesuffix(".gz")).suffix  # pandas packs what it writes as text
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a folder; name a file in it, such as {str(path / 'scored.csv')!r}")
    if ending not in (".csv", ".tsv", ".txt", ".parquet", ".pq", ".jsonl", ".ndjson"):
        raise UsageError(f"cannot write {str(path)!r}: its name must end in .csv, .tsv, .parquet or .jsonl")
    _check_folder(path.parent, "--output in")

    def write(frame: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending in (".parquet", ".pq"):
            frame.to_parquet(path, index=False)
        elif ending in (".jsonl", ".ndjson"):
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")

    return write


def _check_folder(folder: Path, option: str) -> None:
    """Now, and not after an hour's work."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"{option} {str(folder)!r}: nothing can be written to {str(there)!r}; choose another folder")


def _scores(scores: dict[str, Any]) -> str:
    shown = []
    for place, score in scores.items():
        values = score.values() if isinstance(score, dict) else [score]
        shown += [f"{place} {value:.4f}" for value in values if isinstance(value, int | float)]
    return ", ".join(shown)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


if __name__ == "__main__":
    main()
