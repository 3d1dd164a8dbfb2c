"""Every verb, from the shell: the list of them, and how a failure is told.

A verb imports what it needs when it is called, so that help and most errors come at once.
"""

from __future__ import annotations

import errno
import gc as collector
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, NoReturn

import typer

from staytuned import __version__
from staytuned.cli.comparing import Listing, compare
from staytuned.cli.ledgers import check, copy, delete, export, gc, import_
from staytuned.cli.models import history, models, promote, rollback
from staytuned.cli.options import FAILED, HEALTHY, INTERRUPTED
from staytuned.cli.service import predict, tend, watch
from staytuned.cli.studies import best, show, studies, trials
from staytuned.cli.tuning import tune
from staytuned.cli.working import work
from staytuned.errors import StayTunedError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


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
        if arguments is None:
            collector.freeze()  # else the collector looks through all that was loaded once more, which takes half a second
        if code == INTERRUPTED:
            raise KeyboardInterrupt  # which Typer turned into a code
        sys.exit(code or HEALTHY)
    except (typer.Abort, KeyboardInterrupt):
        _complain(f"stopped. Everything finished is saved; to continue: {shlex.join(['staytuned', *words])}", debug)
        sys.exit(INTERRUPTED)
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


app.command(short_help="Tune a model on a table, test it once, keep it.")(tune)
app.command(short_help="Which strategy tunes best here? Compare several.", cls=Listing)(compare)
app.command(short_help="List the models kept.")(models)
app.command(short_help="Score rows with the version in service.")(predict)
app.command()(watch)
app.command(short_help="Retrain, retune, promote or roll back, if need be.")(tend)
app.command()(history)
app.command()(promote)
app.command()(rollback)
app.command(short_help="List the studies.")(studies)
app.command(short_help="Show a study: goal, space, best trial, workers.")(show)
app.command(short_help="List the trials of a study.")(trials)
app.command(short_help="Print the best config of a study.")(best)
app.command(short_help="Join a study that was made elsewhere.")(work)
app.command(short_help="Delete a study.")(delete)
app.command(short_help="Check the whole ledger, repair what can be.")(check)
app.command(short_help="Write the ledger into a file of JSON lines.")(export)
app.command("import", short_help="Read a file of JSON lines, or studies of Optuna.")(import_)
app.command(short_help="Copy a ledger into another one.")(copy)
app.command(short_help="Remove blobs that nothing refers to.")(gc)


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
