"""Options that several verbs share, and exit codes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import typer

from staytuned.samplers.named import METHODS

HEALTHY, ATTENTION, FAILED = 0, 1, 2
INTERRUPTED = 130  # what shells say of Ctrl-C

KINDS = "numeric, categorical, boolean, date, text, identifier, constant"

Method = StrEnum("Method", {name: name for name in METHODS})  # type: ignore[misc]
QualityName = StrEnum("QualityName", ["fast", "balanced", "best"])

# where things are
LedgerOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--ledger",
        metavar="WHERE",
        help="Where everything is remembered: a path, or an sqlite:///, postgresql:// or mysql:// URL.",
        envvar="STAYTUNED_LEDGER",
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

# what they are called
NameArgument: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, as 'staytuned models' lists it.")]
StudyArgument: TypeAlias = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name, as 'staytuned studies' lists it.")]
StudiesOption: TypeAlias = Annotated[list[str] | None, typer.Option("--study", metavar="NAME", help="Only this study; may be repeated.  [default: everything]")]
RenameOption: TypeAlias = Annotated[list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="What a study is called there; may be repeated.")]
ReasonOption: TypeAlias = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.")]

# a table, and how it is read and cut
TableArgument: TypeAlias = Annotated[str, typer.Argument(metavar="FILE", help="CSV, TSV, Parquet or JSON lines, compressed or not.")]
TargetOption: TypeAlias = Annotated[str, typer.Option("--target", metavar="COLUMN", help="The column to predict.")]
MetricOption: TypeAlias = Annotated[str, typer.Option("--metric", metavar="NAME", help="auto, or roc_auc, f1, accuracy, rmse, ... or any scikit-learn scorer.")]
TaskOption: TypeAlias = Annotated[str | None, typer.Option("--task", metavar="TASK", help="binary, multiclass or regression.  [default: inferred]")]
KindOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--kind", metavar="COLUMN=KIND", help=f"Where the inferred kind is wrong: {KINDS}; may be repeated.")
]
DropOption: TypeAlias = Annotated[list[str] | None, typer.Option("--drop", metavar="COLUMN", help="A column to leave out; may be repeated.")]
GroupsOption: TypeAlias = Annotated[str | None, typer.Option("--groups", metavar="COLUMN", help="Column whose rows must stay together.")]
TimeOrderOption: TypeAlias = Annotated[
    str | None, typer.Option("--time-order", metavar="COLUMN", help="Column to split by time: train on earlier, test on later rows.")
]
TestSizeOption: TypeAlias = Annotated[float, typer.Option("--test-size", metavar="SHARE", help="Share of the rows kept for the one test.")]
CvOption: TypeAlias = Annotated[int | None, typer.Option("--cv", metavar="NUMBER", help="Validation folds.  [default: by the table's size]")]

# a search, and what it may spend
SpaceOption: TypeAlias = Annotated[str | None, typer.Option("--space", metavar="FILE", help="YAML or JSON file that changes the default spaces.")]
SeedOption: TypeAlias = Annotated[int | None, typer.Option("--seed", metavar="NUMBER", help="Make the run repeatable.")]
TrialTimeoutOption: TypeAlias = Annotated[float | None, typer.Option("--trial-timeout", metavar="SECONDS", help="For one config.  [default: 15 % of the time]")]
SchedulerOption: TypeAlias = Annotated[
    str | None, typer.Option("--scheduler", metavar="NAME", help="asha, halving or hyperband: many configs on few rows, the good ones on more.")
]
FidelityOption: TypeAlias = Annotated[
    float | None, typer.Option("--fidelity", metavar="SHARE", help="The least share of the rows, such as 0.04; alone it means asha.")
]
EnoughOption: TypeAlias = Annotated[
    str | None, typer.Option("--enough", metavar="NOISE", help="End once less is left to gain than the score's 'noise', or than a number in its unit.")
]
