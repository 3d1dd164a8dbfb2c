import io

import pytest
from rich.console import Console

from staytuned.automl.events import Moved, Said
from staytuned.console import Listener, open_console, progress_line, show_leaderboard, show_table
from staytuned.goal import Goal
from staytuned.insight.leaderboard import leaderboard
from staytuned.trial import Measurement, Reading, Trial


def screen(**options):
    return Console(file=io.StringIO(), highlight=False, **{"width": 100} | options)


def trial(number=0, score=0.8812345, **config):
    folds = tuple(Reading("fold", k, {"roc_auc": score + k / 100}, {"roc_auc": 0.9}) for k in range(3))
    return Trial(number, {"model": "lightgbm", **config}, origin="tpe", measurement=Measurement({"roc_auc": score}, readings=folds))


def moved(best=True, number=0, **counts):
    fields = {"done": 42, "failed": 1, "pruned": 7, "planned": None, "seconds_left": 23.4} | counts
    return Moved(trial(number), trial(number) if best else None, **fields)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (moved(), "best roc_auc 0.8812 (lightgbm)  42 done, 1 failed, 7 raced out, 23 s left"),
        (moved(best=False), "no score yet  42 done, 1 failed, 7 raced out, 23 s left"),
        (moved(planned=60, seconds_left=None), "best roc_auc 0.8812 (lightgbm)  42 of 60 done, 1 failed, 7 raced out"),
        (moved(seconds_left=-3.0), "best roc_auc 0.8812 (lightgbm)  42 done, 1 failed, 7 raced out, 0 s left"),
    ],
)
def test_one_line_says_how_it_stands(event, line):
    assert progress_line(event) == line


def test_plain_lines_where_nobody_watches_live():
    console = screen()
    with Listener(console) as listener:
        listener(Said("Read", "a [b]column[/b] named [red]"))
        listener(moved(number=0))
        listener(moved(number=0))  # no news
        listener(moved(number=5))
        listener(Said("Tune", "done"))
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "     Read  a [b]column[/b] named [red]"
    assert [line.strip()[:4] for line in lines[1:]] == ["best", "best", "Tune"]
    assert "\x1b" not in console.file.getvalue()


def test_a_live_line_goes_when_the_search_is_over():
    console = screen(force_terminal=True)
    with Listener(console) as listener:
        listener(moved())
        assert console._live_stack
        listener(Said("Tune", "done"))
        assert not console._live_stack
        listener(moved())
    assert not console._live_stack  # whatever happens inside, the terminal is given back
    assert "\x1b[?25h" in console.file.getvalue()  # and its cursor


def test_no_color_means_none(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = screen(force_terminal=True)
    Listener(console)(Said("Test", "it worked"))
    assert "\x1b[3" not in console.file.getvalue()


def test_a_file_gets_wide_lines(capsys):
    console = open_console()
    assert console.width >= 160
    console.print("x" * 150)
    assert capsys.readouterr().out == "x" * 150 + "\n"
    open_console(stderr=True).print("aside")
    assert capsys.readouterr() == ("", "aside\n")


@pytest.mark.parametrize("width", [60, 100, 200])
def test_a_leaderboard_fits_any_window(width):
    console = screen(width=width)
    values = {f"lightgbm.{name}": 0.123456 for name in ("learning_rate", "subsample", "colsample_bytree", "reg_lambda")}
    show_leaderboard(console, leaderboard([trial(0), trial(1, 0.9, **values)], Goal("roc_auc", "max")))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert ("learning_rate=0.123" in text) == (width > 60)  # under that, words are folded
    assert text.index("0.9000") < text.index("0.8812")


def test_a_leaderboard_says_of_how_many_rows():
    console = screen(width=160)
    board = leaderboard([trial(0), trial(1, 0.9)], Goal("roc_auc", "max"))
    show_leaderboard(console, board)
    assert "of the rows" not in console.file.getvalue()
    show_leaderboard(console, board, {0: 1 / 9, 1: 1.0})
    lines = console.file.getvalue().splitlines()[-2:]
    assert [" 0.111 " in line for line in lines] == [False, True]


def test_a_leaderboard_says_that_no_trial_keeps_the_limits():
    console = screen()
    show_leaderboard(console, leaderboard([trial(0)], Goal.parse("max roc_auc where size <= 5")))
    assert console.file.getvalue().splitlines()[-1] == "No trial keeps the limits (size <= 5); the first breaks them least."


def test_cells_are_text():
    console = screen()
    show_table(console, ["what", "[i]n[/i]"], [["[red]x", 3], ['<b>"x"&', None]])
    assert "[red]x" in console.file.getvalue()
    assert '<b>"x"&' in console.file.getvalue()
