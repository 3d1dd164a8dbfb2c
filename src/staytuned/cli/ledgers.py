"""The ledger itself: move it, check it, tidy it up."""

from __future__ import annotations

import json
import shlex
import time as clock
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from staytuned.cli.options import ATTENTION, HEALTHY, JsonOption, LedgerOption, RenameOption, StudiesOption, StudyArgument
from staytuned.cli.places import existing, opened
from staytuned.console import open_console, show_table
from staytuned.errors import NotFoundError, UsageError


def delete(
    name: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; it cannot be undone.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even while workers are at work on it.")] = False,
    ledger: LedgerOption = "staytuned.db",
) -> None:
    """Delete a study: its trials and claims, at once; its blobs go with the next 'staytuned gc', unless something else needs them."""
    from staytuned.cli.listed import unknown
    from staytuned.store.keeping import claims_of, keeping
    from staytuned.store.owner import is_dead

    store = existing(ledger)
    kept, stream = keeping(store), f"study/{name}"
    facts = sum(1 for _ in kept.rows(stream))
    if not facts:
        raise unknown(name, store)
    now = clock.time()
    at_work = sorted({claim.owner for claim in claims_of([stream], kept.held()) if claim.until > now and not is_dead(claim.owner)})
    if at_work and not force:
        raise UsageError(f"{len(at_work)} workers are at work on study {name!r}, such as {at_work[0]}; stop them first, or add --force")
    if not yes:
        raise UsageError(f"study {name!r} with its {facts:,} facts would be deleted for good; to do it: staytuned delete {shlex.quote(name)} --yes")
    removed = kept.alone(lambda door: door.remove([stream]))
    typer.echo(f"study {name} is deleted, {removed:,} facts; to remove its blobs too: staytuned gc")


def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to write JSON lines; packed if it ends in .gz.")],
    study: StudiesOption = None,
    ledger: LedgerOption = "staytuned.db",
) -> None:
    """Write the ledger, or some studies, into a file of JSON lines, blobs included."""
    from staytuned.store.exported import export_ledger

    moved = export_ledger(existing(ledger, read_only=True), file, study)
    typer.echo(f"{moved.facts:,} facts and {moved.blobs:,} blobs written to {file}")
    _say_missing(moved.missing)


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What 'staytuned export' wrote, or Optuna's storage: an SQLite file or a journal file.")],
    study: StudiesOption = None,
    rename: RenameOption = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Of Optuna's objectives; repeated if there are several.  [default: value]", show_default=False)
    ] = None,
    ledger: LedgerOption = "staytuned.db",
) -> None:
    """Read a file of 'staytuned export', or studies of Optuna, into the ledger: all or nothing. Doing it twice changes nothing."""
    from staytuned.adapters.optuna import import_optuna, is_optuna
    from staytuned.store.exported import import_ledger, is_export

    names = _pairs(rename)
    if is_optuna(file):
        moved, brought = import_optuna(file, opened(ledger), study, names, metric)
        for one in brought:
            typer.echo(f"study {one.name}: {one.goal}, {one.trials:,} trials")
            for sentence in one.left_out:
                typer.echo(f"note: {one.name}: {sentence}", err=True)
    elif metric:
        raise UsageError(f"--metric {metric[0]!r} names an objective of Optuna, and {file!r} is none of its storages; leave it out")
    elif not Path(file).is_file():
        raise NotFoundError(f"no such file: {file!r}")
    elif not is_export(Path(file)):
        raise UsageError(f"{file!r} is neither a file that 'staytuned export' wrote nor a storage of Optuna (SQLite or journal); nothing was imported")
    else:
        moved = import_ledger(file, opened(ledger), study, names)
    _say(moved, ledger)


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The ledger to copy: a path or a URL.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The ledger to copy into, made if there is none: a path or a URL.")],
    study: StudiesOption = None,
    rename: RenameOption = None,
) -> None:
    """Copy a ledger, or some studies, into another one, also of another database. Doing it again brings what was added."""
    from staytuned.store.move import copy_ledger

    moved = copy_ledger(existing(source, read_only=True), opened(target), study, _pairs(rename))
    _say(moved, target)


def check(
    repair: Annotated[bool, typer.Option("--repair", help="Put right what can be without changing a fact.")] = False,
    ledger: LedgerOption = "staytuned.db",
    json_: JsonOption = False,
) -> None:
    """Check the whole ledger: every fact, trial, claim and blob. Exit code 0 sound, 1 something is wrong, 2 the check itself failed."""
    from staytuned.store.check import check_ledger

    found = check_ledger(existing(ledger, read_only=not repair), repair=repair)
    if json_:
        typer.echo(json.dumps(asdict(found) | {"sound": found.sound}))
    else:
        console = open_console()
        verdict = "SOUND" if found.sound else "DAMAGED" if any(f.repaired is None for f in found.findings) else "UNTIDY"
        counted = f"{found.facts:,} facts, {found.streams:,} streams, {found.trials:,} trials, {found.blobs:,} blobs"
        console.print(f"{verdict}: {counted}", style="green" if found.sound else "yellow", markup=False, soft_wrap=True)
        words = {None: "cannot be repaired", False: "can be: --repair", True: "repaired"}
        if found.findings:
            show_table(console, ["where", "what", ""], [[f.place, f.what, words[f.repaired]] for f in found.findings])
        if found.idle:
            console.print(
                f"{found.idle:,} blobs ({_size(found.idle_bytes)}) are referred to by no fact; remove them: staytuned gc", markup=False, soft_wrap=True
            )
    raise typer.Exit(HEALTHY if found.sound else ATTENTION)


def gc(
    grace: Annotated[float, typer.Option(metavar="HOURS", help="Spare what is younger; 0 while nobody is at work on the ledger.")] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    ledger: LedgerOption = "staytuned.db",
) -> None:
    """Remove the blobs that no fact refers to."""
    from staytuned.store.gc import sweep

    if not grace >= 0:
        raise UsageError(f"--grace {grace} must be 0 or a positive number of hours")
    swept = sweep(existing(ledger, read_only=dry_run), 3600.0 * grace, dry=dry_run)
    removed = "would be removed" if dry_run else "removed"
    young = f"; {swept.young:,} without a use are younger than {grace:g} h and stay" if swept.young else ""
    typer.echo(f"{swept.removed:,} blobs ({_size(swept.removed_bytes)}) {removed}, {swept.kept:,} ({_size(swept.kept_bytes)}) kept{young}")


def _say(moved: Any, ledger: str) -> None:
    known = f", {moved.known:,} were there already" if moved.known else ""
    typer.echo(f"{moved.facts:,} facts and {moved.blobs:,} blobs brought into {ledger}{known}")
    _say_missing(moved.missing)


def _say_missing(missing: tuple[str, ...]) -> None:
    if missing:
        typer.echo(f"note: {len(missing)} blobs were missing, such as {missing[0]}; see: staytuned check", err=True)


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        old, sign, new = text.partition("=")
        if not sign or not old or not new:
            raise UsageError(f"--rename {text!r} must read like churn=churn-2")
        pairs[old] = new
    return pairs


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError
