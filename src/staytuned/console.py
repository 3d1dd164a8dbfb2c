"""What a run looks like in a terminal: live where there is one, plain lines where there is not."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from staytuned.automl.events import Moved, Said
from staytuned.insight.leaderboard import Leaderboard

_FILE_WIDTH = 160  # characters, where the output is no terminal
_QUIET_SECONDS = 5.0  # between two plain progress lines without news


def open_console(*, stderr: bool = False) -> Console:
    """A console; as wide as it takes where nobody looks through a window."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_FILE_WIDTH)


class Listener:
    """Shows the events of a tuning run; give it to ``AutoML(on_event=...)`` inside a ``with``.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Progress | None = None
        self._task: Any = None
        self._best: int | None = None
        self._last_line = 0.0

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def __call__(self, event: Said | Moved) -> None:
        """Show one event."""
        if isinstance(event, Said):
            self._said(event)
        else:
            self._moved(event)

    def _said(self, event: Said) -> None:
        colour = {"Note": "yellow", "Test": "bold green"}.get(event.step, "cyan")
        self.console.print(f"[{colour}]{event.step:>9}[/]  {escape(event.text)}", highlight=False, soft_wrap=not self.console.is_terminal)
        if event.step in ("Tune", "Choose"):
            self._stop()

    def _moved(self, event: Moved) -> None:
        best_number = event.best.number if event.best else None
        news, self._best = best_number != self._best, best_number
        text = progress_line(event)
        if self.console.is_terminal:
            self._start().update(self._task, description=text)
        elif news or clock.monotonic() - self._last_line > _QUIET_SECONDS:
            self._last_line = clock.monotonic()
            self.console.print(f"           {text}", highlight=False, soft_wrap=True, markup=False)

    def _start(self) -> Progress:
        if self._live is None:
            self._live = Progress(SpinnerColumn(), TextColumn("{task.description}", markup=False), console=self.console, transient=True)
            self._live.start()
            self._task = self._live.add_task("")
        return self._live

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def progress_line(event: Moved) -> str:
    """``best 0.8812 (lightgbm)  42 done, 1 failed, 7 raced out, 23 s left``."""
    best = "no score yet"
    if event.best is not None:
        name, score = next(iter(event.best.scores.items()))
        best = f"best {name} {score:.4f} ({event.best.config.get('model', 'trial ' + str(event.best.number))})"
    of = f" of {event.planned}" if event.planned else ""
    left = "" if event.seconds_left is None else f", {max(event.seconds_left, 0):.0f} s left"
    return f"{best}  {event.done}{of} done, {event.failed} failed, {event.pruned} raced out{left}"


def show_leaderboard(console: Console, board: Leaderboard, shares: Mapping[int, float] | None = None) -> None:
    """The best trials, one row each.

    Args:
        shares: by trial, with what share of the training rows it was measured; None where all had all of them.
    """
    rows = []
    for row in board.rows:
        family = str(row.config.get("model", ""))
        values = ", ".join(f"{n.partition('.')[2] or n}={_short(v)}" for n, v in row.config.items() if n != "model")
        error = "" if math.isnan(row.error) else f" ± {row.error:.4f}"
        rows.append(
            [
                str(row.rank),
                family,
                f"{row.score:.4f}{error}",
                "" if math.isnan(row.train_score) else f"{row.train_score:.4f}",
                f"{row.seconds:.1f}",
                row.origin,
                *([] if shares is None else [f"{shares[row.trial]:.3g}"]),
                values,
            ]
        )
    titles = ["", "model", f"{board.metric} (validation)", "training", "s", "from", *([] if shares is None else ["of the rows"]), "hyperparameters"]
    show_table(console, titles, rows)
    if board.sentence:
        console.print(board.sentence, highlight=False, markup=False, soft_wrap=not console.is_terminal)


def show_table(console: Console, titles: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A plain table; cells are text, never markup."""
    table = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in titles:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(table)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
