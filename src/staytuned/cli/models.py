"""The models that are kept: which there are, their story, which is in service."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from staytuned.cli.given import when
from staytuned.cli.options import JsonOption, LedgerOption, NameArgument, ReasonOption
from staytuned.cli.places import existing
from staytuned.console import open_console, show_table


def models(ledger: LedgerOption = "staytuned.db", json_: JsonOption = False) -> None:
    """List the models kept, and which version of each is in service."""
    from staytuned.registry import Registry

    registry = Registry(existing(ledger, read_only=True))
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        champion = registry.champion(name)
        for version in registry.versions(name):
            rows.append(
                {
                    "model": name,
                    "version": version.number,
                    "in_service": version.number == champion.number,
                    "made": when(version.created),
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


def history(name: NameArgument, ledger: LedgerOption = "staytuned.db", json_: JsonOption = False) -> None:
    """Tell a model's story: what was made, watched, decided and why."""
    from staytuned.registry import Registry

    events = Registry(existing(ledger, read_only=True)).story(name)
    if json_:
        typer.echo(json.dumps([{"at": e.at, "kind": e.kind, "sentence": e.sentence} for e in events]))
        return
    show_table(open_console(), ["when", "what", ""], [[when(e.at), e.kind, e.sentence] for e in events])


def promote(
    name: NameArgument,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version to put in service.")],
    reason: ReasonOption = "asked for by hand",
    ledger: LedgerOption = "staytuned.db",
) -> None:
    """Put a version in service by hand."""
    from staytuned.registry import Registry

    Registry(existing(ledger)).promote(name, version, reason)
    typer.echo(f"version {version} of {name} is in service")


def rollback(
    name: NameArgument,
    reason: ReasonOption = "asked for by hand",
    ledger: LedgerOption = "staytuned.db",
) -> None:
    """Put the version before back in service."""
    from staytuned.registry import Registry

    version = Registry(existing(ledger)).roll_back(name, reason)
    typer.echo(f"version {version.number} of {name} is in service again")


def _scores(scores: dict[str, Any]) -> str:
    shown = []
    for place, score in scores.items():
        values = score.values() if isinstance(score, dict) else [score]
        shown += [f"{place} {value:.4f}" for value in values if isinstance(value, int | float)]
    return ", ".join(shown)
