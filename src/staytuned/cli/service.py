"""A model in service: score rows with it, watch it, tend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from staytuned.cli.options import ATTENTION, HEALTHY, JsonOption, LedgerOption, NameArgument
from staytuned.cli.places import check_folder, existing
from staytuned.console import open_console, show_table
from staytuned.errors import UsageError


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
    said = Steward(existing(ledger), name).predict(frame)
    columns = _columns_of(said)
    if hidden := [column for column in columns if column in frame.columns]:
        typer.echo(f"note: the table's own {', '.join(map(repr, hidden))} gave way to what the model says", err=True)
    scored = frame.reset_index(drop=True).drop(columns=hidden).assign(**columns)
    if write is None:
        typer.echo(scored.to_csv(index=False), nl=False)
        return
    write(scored)
    typer.echo(f"{len(scored):,} rows scored by version {said.version} of {name}, logged, and written to {output}", err=True)


def watch(
    name: NameArgument,
    table: Annotated[str, typer.Argument(metavar="FILE", help="Recent rows; with the target column where it is known.")],
    ledger: LedgerOption = "staytuned.db",
    json_: JsonOption = False,
) -> None:
    """Look at recent rows: data quality, drift, performance. Exit code 0 healthy, 1 attention, 2 the check itself failed."""
    from staytuned.automl.read import read_table
    from staytuned.steward import Steward

    health = Steward(existing(ledger), name).watch(read_table(table))
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


def tend(name: NameArgument, ledger: LedgerOption = "staytuned.db", json_: JsonOption = False) -> None:
    """Do what the model's health asks for: keep, retrain, retune, promote or roll back; the reason is recorded."""
    from staytuned.steward import Steward

    tended = Steward(existing(ledger), name).tend()
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


def _columns_of(said: Any) -> dict[str, Any]:
    """What was said, as columns."""
    columns: dict[str, Any] = {"prediction_id": said.ids, "prediction": said.prediction.labels}
    if said.prediction.probabilities is not None:
        columns |= {f"probability_{name}": said.prediction.probabilities[:, place] for place, name in enumerate(said.prediction.classes)}
    return columns | {"model_version": said.version}


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
    check_folder(path.parent, "--output in")

    def write(frame: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending in (".parquet", ".pq"):
            frame.to_parquet(path, index=False)
        elif ending in (".jsonl", ".ndjson"):
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")

    return write
