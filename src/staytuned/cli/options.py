"""Options that several verbs share, and exit codes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from staytuned.samplers.named import METHODS

HEALTHY, ATTENTION, FAILED = 0, 1, 2
INTERRUPTED = 130  # what shells say of Ctrl-C

KINDS = "numeric, categorical, boolean, date, text, identifier, constant"

Method = StrEnum("Method", {name: name for name in METHODS})  # type: ignore[misc]
QualityName = StrEnum("QualityName", ["fast", "balanced", "best"])

LedgerOption = Annotated[
    str, typer.Option("--ledger", metavar="FILE", help="Where everything is remembered: a path, or sqlite:///path.", envvar="STAYTUNED_LEDGER")
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, as 'staytuned models' lists it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
