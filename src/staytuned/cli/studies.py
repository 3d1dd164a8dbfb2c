"""The studies of a ledger: which there are, and what each found."""

from __future__ import annotations

import json
import math
import shlex
import time as clock
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from staytuned.cli.given import when
from staytuned.cli.options import JsonOption, LedgerOption, StudyArgument
from staytuned.cli.places import check_folder, existing
from staytuned.console import open_console, show_table
from staytuned.errors import NotFoundError, UsageError
from staytuned.goal import Goal, value_of
from staytuned.protocols import Ledger
from staytuned.space.dims import Choice, Dimension, Float, Int, Ordinal
from staytuned.space.space import Space
from staytuned.trial import Status, Trial

_LISTED = 50  # studies, the last ones at work first
_SHOWN = 100  # trials

StatusName = StrEnum("StatusName", {str(status): str(status) for status in Status})  # type: ignore[misc]


def studies(
    all_: Annotated[bool, typer.Option("--all", help=f"Every one, and not only the last {_LISTED}.")] = False,
    ledger: LedgerOption = "staytuned.db",
    json_: JsonOption = False,
) -> None:
    """List the studies, the last ones at work first: goal, trials, best score, when something last happened."""
    from staytuned.cli.listed import best_of, goals
    from staytuned.store.keeping import keeping

    store = existing(ledger, read_only=True)
    found = keeping(store).streams("study/")
    listed = found if all_ else found[:_LISTED]
    pursued = goals(store, listed)
    best = best_of(store, listed, pursued)
    rows: list[dict[str, Any]] = [
        {
            "study": stream.name.removeprefix("study/"),
            "goal": str(pursued[stream.name]) if stream.name in pursued else None,
            "trials": stream.kinds.get("asked", 0),
            "ended": stream.kinds.get("told", 0),
            "best": best.get(stream.name),
            "last": stream.last,
        }
        for stream in listed
    ]
    if json_:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo(f"no studies in {ledger!r} yet; staytuned tune makes one, or st.Study('name', ledger={ledger!r})", err=True)
        return
    cells = [[row["study"], row["goal"] or "?", f"{row['trials']:,}", _number(row["best"]), when(row["last"])] for row in rows]
    show_table(open_console(), ["study", "goal", "trials", "best", "last activity"], cells)
    if len(found) > len(listed):
        typer.echo(f"and {len(found) - len(listed):,} more: staytuned studies --all", err=True)


def show(name: StudyArgument, ledger: LedgerOption = "staytuned.db", json_: JsonOption = False) -> None:
    """Show a study: its goal and space, how its trials ended, the best one, and who is at work on it."""
    from staytuned.cli.recorded import recorded
    from staytuned.space.codec import space_to_json

    store = existing(ledger, read_only=True)
    study = recorded(store, name)
    story = study.story
    counts = Counter(str(trial.status) for trial in story.trials)
    under_way = _under_way(store, name, story)
    best = _best(study.goal, story.trials)
    if json_:
        body: dict[str, Any] = {"study": name, "goal": str(study.goal), "space": None if study.space is None else space_to_json(study.space)}
        body |= {"trials": len(story.trials), "status": dict(counts), "queue": len(story.queue), "best": [_as_json(trial) for trial in best]}
        body |= {"under_way": [worker._asdict() for worker in under_way], "began": study.began, "last": study.last}
        typer.echo(json.dumps(body, default=str))
        return
    console = open_console()
    lines = [("study", name), ("goal", str(study.goal)), ("began", when(study.began)), ("last", when(study.last))]
    lines.append(("trials", f"{len(story.trials):,}" + (f": {', '.join(f'{count:,} {status}' for status, count in counts.items())}" if counts else "")))
    if story.queue:
        lines.append(("queue", f"{len(story.queue)} configs to be tried next"))
    for trial in best[:5]:
        lines.append(("best", f"trial {trial.number}: {_scores(trial, study.goal)}, {_values(trial)}"))
    if len(best) > 5:
        lines.append(("", f"and {len(best) - 5} more on the front: staytuned best {shlex.quote(name)}"))
    for what, text in lines:
        console.print(f"{what:>9}  {text}", soft_wrap=True, markup=False)
    console.print()
    _show_space(console, study.space)
    if under_way:
        console.print()
        cells = []
        for w in under_way:
            since, lease = when(w.since) if w.since else "", f"{w.lease:.0f} s" if w.lease else "run out"
            cells.append([w.trial, w.worker or "nobody, free to be taken", since, lease])
        show_table(console, ["trial", "worker", "since", "lease"], cells)


def trials(
    name: StudyArgument,
    top: Annotated[int | None, typer.Option(metavar="NUMBER", help="Only the best, the best one first.")] = None,
    status: Annotated[list[StatusName] | None, typer.Option(help="Only trials that stand so; may be repeated.")] = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write a table with a column for every hyperparameter.")] = None,
    ledger: LedgerOption = "staytuned.db",
    json_: JsonOption = False,
) -> None:
    """List the trials of a study: status, scores, seconds, who proposed them, hyperparameters."""
    from staytuned.cli.recorded import recorded
    from staytuned.insight.frame import frame

    if top is not None and top < 1:
        raise UsageError(f"--top {top} must be at least 1")
    study = recorded(existing(ledger, read_only=True), name)
    goal, chosen = study.goal, list(study.story.trials)
    if status:
        chosen = [trial for trial in chosen if str(trial.status) in [str(one) for one in status]]
    if top is not None:
        chosen = sorted((trial for trial in chosen if goal.rank(trial) is not None), key=lambda trial: goal.rank(trial) or ())[:top]
    if csv is not None:
        path = Path(csv)
        check_folder(path.parent, "--csv in")
        frame(chosen, goal, study.story.rationed).to_csv(path, index=False)
        typer.echo(f"{len(chosen):,} trials written to {csv}", err=True)
    if json_:
        typer.echo(json.dumps([_as_json(trial) for trial in chosen], default=str))
        return
    if csv is not None:
        return
    shown = chosen[-_SHOWN:] if top is None else chosen
    rationed = study.story.rationed
    titles = ["trial", "status", *goal.names, *(["share"] if rationed else []), "s", "from", "hyperparameters"]
    rows = [
        [
            trial.number,
            trial.status,
            *(_number(_score(trial, metric)) for metric in goal.names),
            *([f"{trial.share:.3g}"] if rationed else []),
            f"{trial.cost.seconds:.1f}",
            trial.origin,
            _values(trial) + (f" ({trial.cure})" if trial.status.failed else ""),
        ]
        for trial in shown
    ]
    show_table(open_console(), titles, rows)
    if len(shown) < len(chosen):
        typer.echo(f"the last {len(shown)} of {len(chosen):,}; all of them: --csv FILE or --json", err=True)


def best(name: StudyArgument, ledger: LedgerOption = "staytuned.db", json_: JsonOption = False) -> None:
    """Print the best trial's config; with several objectives, those of all trials on the front."""
    from staytuned.cli.recorded import recorded

    study = recorded(existing(ledger, read_only=True), name)
    found = _best(study.goal, study.story.trials)
    if not found:
        failed = [trial for trial in study.story.trials if trial.status.failed]
        raise NotFoundError(f"no trial of study {name!r} has finished with a score{f'; the last failure: {failed[-1].cure}' if failed else ''}")
    if json_:
        bodies = [_as_json(trial) for trial in found]
        typer.echo(json.dumps(bodies if study.goal.others else bodies[0], default=str))
        return
    console = open_console()
    for trial in found:
        broken = "" if study.goal.violation(trial) == 0 else ", which breaks the limits least"
        console.print(f"trial {trial.number}: {_scores(trial, study.goal)}{broken}", soft_wrap=True, markup=False, style="bold")
        show_table(console, ["parameter", "value"], [[key, value] for key, value in trial.config.items()])


class _AtWork(NamedTuple):
    """A trial under way, its worker (empty for nobody), when it began in Unix seconds, and for how many seconds the worker holds it still."""

    trial: int
    worker: str
    since: float
    lease: float


def _under_way(store: Ledger, name: str, story: Any) -> list[_AtWork]:
    from staytuned.store.keeping import claims_of, keeping, trial_of
    from staytuned.store.owner import is_dead

    held = {trial_of(claim.key)[1]: claim for claim in claims_of([f"study/{name}"], keeping(store).held())} if story.running else {}
    found = []
    for number in sorted(story.running):
        claim = held.get(number)
        worker = story.workers.get(number, "") if claim is None else claim.owner
        worker += " (gone)" if worker and is_dead(worker) else ""
        found.append(_AtWork(number, worker, story.trials[number].started, 0.0 if claim is None else max(claim.until - clock.time(), 0.0)))
    return found


def _show_space(console: Console, space: Space | None) -> None:
    if space is None:
        console.print("    space  holds Python objects, which only the script that made the study knows", soft_wrap=True, markup=False)
        return
    rows = []
    for name, dimension in space.dimensions.items():
        conditions = [f"{parent} is {' or '.join(map(str, values))}" for parent, values in (dimension.when or {}).items()]
        rows.append([name, _range(dimension), ", ".join(conditions)])
    titles = ["parameter", "values", "exists when"][: 3 if any(row[2] for row in rows) else 2]
    show_table(console, titles, [row[: len(titles)] for row in rows])
    for constraint in space.constraints:
        console.print(f"constraint {constraint}", soft_wrap=True, markup=False)


def _range(dimension: Dimension) -> str:
    match dimension:
        case Float(low=low, high=high, step=step) | Int(low=low, high=high, step=step):
            steps = f" in steps of {step:g}" if step is not None and not (step == 1 and isinstance(dimension, Int)) else ""
            return f"{low:g} to {high:g}{', log' if dimension.log else ''}{steps}"
        case Choice(choices=choices) | Ordinal(choices=choices):
            return (" < " if isinstance(dimension, Ordinal) else ", ").join(map(str, choices))
    return repr(dimension)


def _best(goal: Goal, history: Sequence[Trial]) -> list[Trial]:
    if goal.others:
        return goal.front(history)
    found = goal.best(history)
    return [] if found is None else [found]


def _as_json(trial: Trial) -> dict[str, Any]:
    scores = {name: score if math.isfinite(score) else None for name, score in trial.scores.items()}
    body: dict[str, Any] = {"number": trial.number, "status": str(trial.status), "scores": scores, "config": dict(trial.config), "origin": trial.origin}
    return body | {"fidelity": trial.fidelity, "started": trial.started, "seconds": trial.cost.seconds, "cure": trial.cure}


def _score(trial: Trial, metric: str) -> float:
    return value_of(trial.measurement, metric)


def _scores(trial: Trial, goal: Goal) -> str:
    return ", ".join(f"{metric} {_number(_score(trial, metric))}" for metric in goal.names)


def _values(trial: Trial) -> str:
    return ", ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in trial.config.items())


def _number(score: Any) -> str:
    return "" if score is None or math.isnan(score) else f"{score:.6g}"
