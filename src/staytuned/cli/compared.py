"""What a comparison looks like in a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console

from staytuned.console import show_table
from staytuned.insight.strategies import Strategies, short
from staytuned.stats.compare import Interval

_VERDICTS = {"better": "better", "ahead": "ahead, not settled", "undecided": "cannot be told apart"}


def show_comparison(console: Console, strategies: Strategies, tests: Mapping[str, Interval]) -> None:
    """A row per strategy, then the best one against each of the others.

    Args:
        tests: by strategy, the test score of its best config.
    """
    rows = [
        [
            row.name,
            _spanned(row.score),
            short(row.median),
            f"{row.rank:.1f}",
            "" if math.isnan(row.best_probability) else f"{row.best_probability:.0%}",
            "never" if row.to_reference is None else row.to_reference,
            f"{row.seconds:.1f}",
            f"{row.thinking:.1f}",
            _spanned(tests[row.name]) if row.name in tests else "",
        ]
        for row in strategies.rows
    ]
    metric, reached = strategies.metric, f"trials to {strategies.reference}'s end"
    show_table(console, ["strategy", f"best {metric} (validation)", "median", "rank", "is best", reached, "s measuring", "s thinking", f"test {metric}"], rows)
    best = strategies.rows[0].name
    duels = [pair for pair in strategies.pairs if best in (pair.first, pair.second)]
    if duels:
        console.print()
        verdicts = [[f"{d.first} against {d.second}", _spanned(d.gain, 2), f"{d.p_value:.2g}", f"{d.q_value:.2g}", _VERDICTS[d.verdict]] for d in duels]
        show_table(console, ["pair", "better by", "p", "q", "verdict"], verdicts)


def _spanned(interval: Interval, digits: int = 4) -> str:
    point = short(interval.point, digits)
    return point if math.isnan(interval.low) else f"{point} [{short(interval.low, digits)}, {short(interval.high, digits)}]"
