"""Tune a model on a table."""

from __future__ import annotations

import json
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from staytuned.cli.given import configs_in, pairs, size_in_bytes, tolerance
from staytuned.cli.options import (
    CvOption,
    DropOption,
    EnoughOption,
    FidelityOption,
    GroupsOption,
    JsonOption,
    KindOption,
    LedgerOption,
    Method,
    MetricOption,
    QualityName,
    SchedulerOption,
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
from staytuned.cli.run import ahead, left_of, left_to_write, stoppable
from staytuned.console import Listener, open_console, show_leaderboard

_DEFAULT_SECONDS = 60.0


def tune(
    table: TableArgument,
    target: TargetOption,
    time: Annotated[float | None, typer.Option(metavar="SECONDS", help=f"For everything.  [default: {_DEFAULT_SECONDS:.0f}, if --trials is not given]")] = None,
    trials: Annotated[int | None, typer.Option(metavar="NUMBER", help="Configs to try, the defaults included.")] = None,
    metric: MetricOption = "auto",
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What to call the model.  [default: the file's name]")] = None,
    method: Annotated[Method, typer.Option(help="How to search; manual tries only --configs, or only the defaults.")] = Method["auto"],
    quality: Annotated[QualityName, typer.Option(help="fast: cheap models, 3 folds; balanced: all models, 5 folds; best: 10 folds.")] = QualityName["balanced"],
    space: SpaceOption = None,
    configs: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML or JSON file with a list of configs to try first; with --method manual, the only ones.")
    ] = None,
    scheduler: SchedulerOption = None,
    fidelity: FidelityOption = None,
    enough: EnoughOption = None,
    task: TaskOption = None,
    kind: KindOption = None,
    drop: DropOption = None,
    groups: GroupsOption = None,
    time_order: TimeOrderOption = None,
    test_size: TestSizeOption = 0.2,
    cv: CvOption = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="NUMBER", help="Worker processes; -1 for all processors.")] = -1,
    seed: SeedOption = None,
    trial_timeout: TrialTimeoutOption = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory for one config, such as 2GB.")] = None,
    ledger: LedgerOption = "staytuned.db",
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Folder for the report and the exported model.")] = "staytuned-out",
    json_: JsonOption = False,
) -> None:
    """Tune a model on a table: read, split, baseline, search, choose, test once, report, keep."""
    from staytuned.automl.workers import started_early

    console = open_console(stderr=json_)
    check_folder(Path(out), "--out")
    seconds = _DEFAULT_SECONDS if time is None and trials is None and method != "manual" else time
    bytes_ = size_in_bytes(memory)
    with nullcontext() if seconds is None else started_early(jobs, bytes_):
        from staytuned.automl.automl import AutoML  # which loads much, while the workers do the same
        from staytuned.automl.read import read_table

        frame = read_table(table)
        name = name_of(table) if name is None else name
        store = opened(ledger)
        with Listener(console) as listener, stoppable(listener) as on_event:
            model = AutoML(
                time=left_of(seconds),
                trials=trials,
                metric=metric,
                quality=str(quality),  # type: ignore[arg-type]
                n_jobs=jobs,
                random_state=seed,
                method=str(method),
                space=space,
                scheduler=scheduler,
                fidelity=fidelity,
                enough=tolerance(enough),
                configs=configs_in(configs),
                test_size=test_size,
                cv=cv,
                task=task,
                kinds=pairs(kind or []),
                drop=drop or [],
                trial_timeout=trial_timeout,
                memory=bytes_,
                ledger=store,
                name=name,
                on_event=ahead(on_event, "skops.io", "staytuned.automl.report"),
            ).fit(frame, target=target, groups=groups, time_order=time_order)
    from staytuned.registry import Registry

    version = model.keep(store)
    folder = Path(out) / name
    exported, _ = Registry(store).export(version, folder)
    report = model.report(folder / "report.html", left_to_write(seconds))
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
            "ended": model.result_.tuned.study.why_ended,
            "report": str(report),
            "exported": str(exported),
            "ledger": ledger,
        }
        typer.echo(json.dumps(body, default=str))
        return
    console.print()
    trials_ = model.result_.tuned.study.trials
    show_leaderboard(console, model.leaderboard(5), {t.number: t.share for t in trials_} if any(t.share < 1 for t in trials_) else None)
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
