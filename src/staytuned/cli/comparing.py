"""Compare strategies on a table."""

from __future__ import annotations

import json
import re
import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from staytuned.automl.events import Moved, OnEvent, Said
from staytuned.cli.given import configs_in, pairs
from staytuned.cli.options import (
    CvOption,
    DropOption,
    GroupsOption,
    JsonOption,
    KindOption,
    LedgerOption,
    Method,
    MetricOption,
    SeedOption,
    SpaceOption,
    TableArgument,
    TargetOption,
    TaskOption,
    TestSizeOption,
    TimeOrderOption,
    TrialTimeoutOption,
)
from staytuned.cli.places import check_folder, name_of, opened
from staytuned.cli.run import left_of, stoppable
from staytuned.console import Listener, open_console

_COMPARED = ("random", "bayes", "tpe", "auto")
_COMPARE_SECONDS, _COMPARE_TRIALS, _COMPARE_REPEATS = 120.0, 30, 3
_TRIAL_SHARE = 0.15  # of the time, at most, for one trial of a comparison
_TEST_SHARE = 0.1  # of the time, kept for the test of the winners


class Listing(typer.core.TyperCommand):
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


def compare(
    table: TableArgument,
    target: TargetOption,
    model: Annotated[str, typer.Option(metavar="NAME", help="The model to tune, such as random_forest; all for the joint space of 'tune'.")] = "lightgbm",
    methods: Annotated[
        list[Method] | None, typer.Option(help=f"The strategies, one after the other.  [default: {' '.join(_COMPARED)}]", show_default=False)
    ] = None,
    trials: Annotated[int | None, typer.Option(metavar="NUMBER", help=f"Configs of each study.  [default: {_COMPARE_TRIALS}]")] = None,
    repeats: Annotated[
        int, typer.Option(metavar="NUMBER", help="Studies of each strategy, each with its own seed; 6 or more can settle it.")
    ] = _COMPARE_REPEATS,
    time: Annotated[float | None, typer.Option(metavar="SECONDS", help=f"For everything.  [default: {_COMPARE_SECONDS:.0f}, if --trials is not given]")] = None,
    metric: MetricOption = "auto",
    reference: Annotated[
        Method | None, typer.Option(help="The strategy to measure the others by.  [default: random, or the first]", show_default=False)
    ] = None,
    space: SpaceOption = None,
    configs: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML or JSON file with the configs that 'manual' tries.  [default: the models' defaults]")
    ] = None,
    task: TaskOption = None,
    kind: KindOption = None,
    drop: DropOption = None,
    groups: GroupsOption = None,
    time_order: TimeOrderOption = None,
    test_size: TestSizeOption = 0.2,
    cv: CvOption = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="NUMBER", help="Studies at work at once; -1 for all processors.")] = -1,
    seed: SeedOption = None,
    trial_timeout: TrialTimeoutOption = None,
    ledger: LedgerOption = "staytuned.db",
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Folder for the picture of the curves.")] = "staytuned-out",
    json_: JsonOption = False,
) -> None:
    """Run several strategies on one table with the same seeds, and say with intervals which tuned it better. The same command goes on where it ended."""
    from staytuned import comparison
    from staytuned.automl.objective import signature, table_objective
    from staytuned.automl.read import read_table
    from staytuned.cli.compared import show_comparison
    from staytuned.plots import figure_png

    console = open_console(stderr=json_)
    check_folder(Path(out), "--out")
    chosen = [str(method) for method in methods or _COMPARED]
    kinds, by_hand = pairs(kind or []), configs_in(configs)
    frame = read_table(table)
    store = opened(ledger)
    options = (target, model, metric, Path(space) if space else None, task, sorted(kinds.items()), drop, groups, time_order, test_size, cv, seed)
    name = f"{name_of(table)}-{signature(frame, *options, by_hand if 'manual' in chosen else None)[:8]}"
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
    left = left_of(seconds)
    with Listener(console) as listener, stoppable(listener) as on_event:
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
    picture = Path(out) / name_of(table) / "compare.png"
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
