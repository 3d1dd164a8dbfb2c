import ast
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from staytuned import plots
from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.insight.column import column_curve
from staytuned.insight.effects import Effect, Surface, effect, surface
from staytuned.insight.front import front
from staytuned.insight.importance import Importance, ImportanceRow, importance
from staytuned.insight.progress import Progress, progress
from staytuned.plots import (
    RocCurve,
    ScoreBar,
    figure_png,
    figure_svg,
    plot_column,
    plot_confusion,
    plot_curves,
    plot_effect,
    plot_folds,
    plot_front,
    plot_importance,
    plot_progress,
    plot_residuals,
    plot_risk,
    plot_roc,
    plot_scores,
    plot_surface,
)
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space
from staytuned.study import Study
from staytuned.trial import Alternative, Cost, Measurement, Status, Trial

NASTY = (
    "<script>alert('x')</script>",
    "a & b",
    "$x_{",
    "模型 größe \x00\n\ud800",
    'say "hi"',
    "]]>",
    "a very long name that goes on and on and on until nobody reads it",
)
GOAL = Goal("roc_auc", "max")
SPACE = Space({"model <b>": Choice(NASTY), "C $": Float(1e-4, 1e4, log=True), "depth": Int(1, 20, when={"model <b>": NASTY[:3]})})


def history(n=40):
    rng = np.random.default_rng(0)
    ends = [Status.DONE, Status.DONE, Status.PRUNED, Status.DONE, Status.FAILED]
    trials = []
    for i in range(n):
        config = SPACE.sample(rng)
        scores = {} if ends[i % 5].failed else {"roc_auc": 0.8 - 0.02 * abs(math.log10(config["C $"])) + 0.01 * rng.random()}
        trials.append(Trial(i, config, started=1e9 + i, measurement=Measurement(scores, ends[i % 5], cost=Cost(2.0))))
    return trials


@pytest.fixture(scope="module")
def tables():
    trials = history()
    return {
        "progress": progress(trials, GOAL),
        "importance": importance(trials, GOAL, SPACE),
        "effect": effect(trials, GOAL, SPACE, "C $"),
        "surface": surface(trials, GOAL, SPACE, "model <b>", "C $"),
    }


def axes(fig: Figure):
    return fig.axes[0]


def legend(fig: Figure):
    return [text.get_text() for box in fig.legends for text in box.get_texts()]


def test_progress_shows_what_became_of_every_trial(tables):
    fig = plot_progress(tables["progress"])
    assert axes(fig).get_xlabel() == "trial"
    assert axes(fig).get_ylabel() == "roc_auc (higher is better)"
    assert legend(fig) == ["finished", "stopped early", "failed", "best so far"]
    drawn = {c.get_label(): len(c.get_offsets()) for c in axes(fig).collections}
    assert drawn == {"finished": 24, "stopped early": 8, "failed": 8}
    (line,) = axes(fig).get_lines()
    assert (np.diff(line.get_ydata()) >= 0).all()


def test_progress_over_time_never_forgets_its_best(tables):
    fig = plot_progress(Progress(tuple(reversed(tables["progress"].rows)), "roc_auc", "max"), by="seconds")
    assert axes(fig).get_xlabel() == "seconds since the start"
    (line,) = axes(fig).get_lines()
    assert (np.diff(line.get_xdata()) > 0).all()
    assert (np.diff(line.get_ydata()) >= 0).all()
    with pytest.raises(UsageError, match="by='hours'"):
        plot_progress(tables["progress"], by="hours")


def test_a_diverged_trial_is_drawn_at_the_border():
    trials = [Trial(i, {}, measurement=Measurement({"loss": 1.0 + i / 100})) for i in range(20)] + [Trial(20, {}, measurement=Measurement({"loss": 1e9}))]
    fig = plot_progress(progress(trials, Goal()))
    assert axes(fig).get_ylim()[1] < 3
    assert "finished, off the scale" in legend(fig)


def _sized(*rows):
    return [Trial(i, {}, measurement=Measurement(dict(zip(("auc", "ms", "size"), row, strict=True)))) for i, row in enumerate(rows)]


def test_a_trial_that_breaks_a_limit_is_drawn_as_such_and_is_never_best():
    trials = _sized((0.9, 1, 9), (0.5, 1, 1), (0.8, 1, 6), (0.6, 1, 5))
    fig = plot_progress(progress(trials, Goal.parse("max auc where size <= 5")))
    assert legend(fig) == ["finished", "breaks a limit", "best so far"]
    (line,) = axes(fig).get_lines()
    assert list(line.get_xdata()) == [1, 2, 3]
    assert list(line.get_ydata()) == [0.5, 0.5, 0.6]


def test_a_front_is_a_staircase_that_no_trial_lies_beyond():
    goal = Goal.parse("max auc, min ms where size <= 5 and ms <= 60")
    trials = _sized((0.9, 50, 1), (0.5, 10, 1), (0.7, 30, 1), (0.6, 40, 1), (0.95, 5, 9), (0.8, 70, 1), (0.55, 45, 1))
    fig = plot_front(front(trials, goal))
    assert legend(fig) == ["finished", "breaks a limit", "ms <= 60", "front"]
    assert axes(fig).get_xlabel() == "auc (higher is better)"
    assert axes(fig).get_ylabel() == "ms (lower is better)"
    drawn = [c.get_offsets().tolist() for c in axes(fig).collections]
    assert drawn == [[[0.6, 40], [0.55, 45]], [[0.95, 5], [0.8, 70]], [[0.9, 50], [0.7, 30], [0.5, 10]]]
    line = axes(fig).get_lines()[-1]
    corners = list(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert corners[1:-1] == [(0.9, 50), (0.7, 30), (0.5, 10)]
    assert corners[0] == (0.9, axes(fig).get_ylim()[1])  # down from the edge of the picture
    assert corners[-1] == (axes(fig).get_xlim()[0], 10)
    assert line.get_drawstyle() == "steps-post"


def test_a_front_of_nothing_feasible_shows_the_nearest():
    fig = plot_front(front(_sized((0.9, 50, 8), (0.8, 40, 7)), Goal.parse("max auc, min ms where size <= 5")))
    assert legend(fig) == ["breaks a limit", "breaks the limits least"]
    assert axes(fig).collections[-1].get_offsets().tolist() == [[0.8, 40]]


def test_the_ends_of_a_front_are_in_the_picture():
    many = [(0.9 + i / 1e4, 50 - i / 1e3, 1) for i in range(50)]
    fig = plot_front(front(_sized(*many, (0.01, 1, 1)), Goal.parse("max auc, min ms")))
    assert axes(fig).get_xlim()[0] < 0.01 < axes(fig).get_xlim()[1]
    assert axes(fig).get_ylim()[0] < 1


def test_a_front_is_drawn_of_a_study_with_two_objectives():
    study = Study(space={"x": Float(0, 1)}, goal="max auc, min ms", sampler="random", seed=0)
    assert "no trial has finished yet" in figure_svg(plot_front(study))
    study.optimize(lambda trial: (trial.config["x"], trial.config["x"] ** 2), trials=3)
    assert len(axes(plot_front(study)).collections[-1].get_offsets()) == 3
    for goal in ("max auc", "max a, max b, max c"):
        with pytest.raises(UsageError, match=r"a front is drawn of two objectives, not of [13] \("):
            plot_front(Study(space={"x": Float(0, 1)}, goal=goal))


def test_importance_puts_the_largest_on_top_and_marks_a_hint(tables):
    fig = plot_importance(tables["importance"])
    widths = [bar.get_width() for bar in axes(fig).patches]
    assert widths == [row.share for row in tables["importance"].rows]
    assert axes(fig).yaxis_inverted()
    assert axes(fig).get_xlabel() == "share of the differences in score"
    rows = tuple(ImportanceRow(f"dimension {i}", 0.1, 0.05, 9) for i in range(28))
    few = plot_importance(Importance(rows), limit=12)
    assert len(axes(few).patches) == 12
    assert axes(few).get_xlabel().endswith("(a hint only)")


def test_a_surface_is_labelled_in_natural_units(tables):
    fig = plot_surface(tables["surface"])
    assert axes(fig).get_ylabel().endswith("(log scale)")
    assert [t.get_text() for t in axes(fig).get_yticklabels()] == list(tables["surface"].y.labels)
    assert len(axes(fig).get_xticklabels()) == len(NASTY)
    assert fig.axes[1].get_ylabel() == "predicted roc_auc (higher is better)"
    assert legend(fig) == ["trials", "best trial"]
    trials, star = axes(fig).collections[1:]
    assert len(trials.get_offsets()) == len(tables["surface"].scores)
    assert tuple(star.get_offsets()[0]) == pytest.approx(tables["surface"].best)


def test_an_effect_is_a_line_or_points_with_whiskers(tables):
    fig = plot_effect(tables["effect"])
    assert len(axes(fig).get_lines()) == 1
    assert axes(fig).get_xlim() == (0, 1)
    points = plot_effect(effect(history(), GOAL, SPACE, "model <b>"))
    assert len(axes(points).containers) == 1
    assert len(axes(points).get_xticklabels()) == len(NASTY)


def test_curves_have_a_band_where_there_is_a_spread():
    fig = plot_curves([100, 200, 400], [0.9, 0.9, 0.9], [0.7, math.nan, 0.8], xlabel="training rows", ylabel="accuracy", validation_sd=[0.1, 0.1, 0.1])
    assert legend(fig) == ["training", "validation"]
    assert axes(fig).get_xlabel() == "training rows"
    assert len(axes(fig).collections) == 1
    assert [len(line.get_xdata()) for line in axes(fig).get_lines()] == [3, 2]
    with pytest.raises(UsageError, match="train has 2 values where 3"):
        plot_curves([1, 2, 3], [1, 2], [1, 2, 3])


def columned(name="rounds", values=(1, 10, 100)):
    """A trial that measured these values of one hyperparameter under two names of another; its own are the last and NASTY[0]."""
    scores = {(v, w): (0.5 + 0.1 * i, 0.7 + 0.1 * i - 0.1 * j) for i, v in enumerate(values) for j, w in enumerate(NASTY[:2])}
    column = tuple(Alternative({name: v, "kind": w}, tuple({"roc_auc": s} for s in folds)) for (v, w), folds in scores.items())
    return Trial(3, {name: values[-1], "kind": NASTY[0], "C": 1.0}, measurement=Measurement({"roc_auc": 0.8}, column=column))


def test_a_column_is_a_curve_with_the_choice_marked():
    curve = column_curve(columned(), GOAL)
    assert (curve.name, curve.values, curve.chosen) == ("rounds", (1, 10, 100), 2)
    assert curve.mean == pytest.approx([0.6, 0.7, 0.8])  # of the trial's own kind
    assert curve.sd == pytest.approx([0.1, 0.1, 0.1])
    fig = plot_column(curve)
    line, star = axes(fig).get_lines()
    assert line.get_xydata() == pytest.approx(np.array([[1, 0.6], [10, 0.7], [100, 0.8]]))
    assert star.get_xydata() == pytest.approx(np.array([[100, 0.8]]))
    assert legend(fig) == ["validation, mean over folds", "chosen: 100"]
    assert axes(fig).get_xscale() == "log"
    assert axes(fig).get_ylabel() == "roc_auc (higher is better)"
    words = plot_column(column_curve(columned(), GOAL, "kind"))
    assert len(axes(words).containers) == 1
    assert len(axes(words).get_xticklabels()) == 2
    assert axes(plot_column(column_curve(columned(values=(9, 2, 5)), GOAL))).get_lines()[0].get_xdata().tolist() == [2, 5, 9]


def test_a_trial_without_that_column_is_refused():
    with pytest.raises(UsageError, match="trial 0 did not measure any hyperparameter at many values, but none"):
        column_curve(history(1)[0], GOAL)
    with pytest.raises(UsageError, match="trial 3 did not measure 'C' at many values, but rounds, kind"):
        column_curve(columned(), GOAL, "C")


@pytest.mark.parametrize("k", [2, 5, 11, 40])
def test_a_confusion_matrix_shows_counts_until_they_would_not_fit(k):
    fig = plot_confusion(np.eye(k) * 7, [f"class {i}" for i in range(k)])
    assert len(axes(fig).texts) == (k * k if k <= 12 else 0)
    assert len(axes(fig).get_yticklabels()) <= 30
    assert (axes(fig).get_xlabel(), axes(fig).get_ylabel()) == ("predicted", "true")
    if k <= 6:
        assert axes(fig).texts[0].get_text() == "7\n100%"


def test_a_confusion_matrix_must_fit_its_classes():
    with pytest.raises(UsageError, match=r"shape \(2, 2\) does not fit 3 classes"):
        plot_confusion(np.eye(2), "abc")


def test_roc_curves_name_their_area_and_stay_small():
    rates = np.linspace(0, 1, 50_000)
    fig = plot_roc({"tuned": RocCurve(rates, np.sqrt(rates), 2 / 3), "baseline": (rates, rates, 0.5)})
    assert legend(fig) == ["tuned (0.667)", "baseline (0.500)", "guessing (0.500)"]
    assert all(len(line.get_xdata()) <= 400 for line in axes(fig).get_lines())
    assert axes(fig).get_lines()[0].get_xdata()[-1] == 1.0
    assert len(figure_svg(fig)) < 40_000


def test_residuals_leave_out_what_is_not_a_number():
    fig = plot_residuals([1.0, 2.0, math.nan], [1.5, 2.0, 3.0], unit="USD")
    left, right = fig.axes
    assert left.get_ylabel() == "true (USD)"
    assert right.get_ylabel() == "true minus predicted (USD)"
    np.testing.assert_allclose(right.collections[0].get_offsets(), [[1.5, -0.5], [2.0, 0.0]])


def test_scores_have_whiskers_and_numbers():
    fig = plot_scores([ScoreBar("dummy", 0.5), ("tuned", 0.87, 0.832, 0.9)], "roc_auc on the test part")
    assert [t.get_text() for t in axes(fig).texts] == ["0.500", "0.870 [0.832, 0.900]"]
    assert len(axes(fig).get_lines()) == 3
    assert axes(fig).get_xlabel() == "roc_auc on the test part"


def test_folds_have_a_line_per_model():
    fig = plot_folds({"svm": [0.1, math.nan, 0.3], "tree": [], "mlp": [0.2]})
    assert [len(c.get_offsets()) for c in axes(fig).collections] == [2, 0, 1]
    assert len(axes(fig).get_lines()) == 2


def test_risk_marks_the_first_alarm():
    fig = plot_risk([1.0, 0.0, math.nan, 25.0, math.inf], 20.0)
    assert axes(fig).get_yscale() == "log"
    assert legend(fig) == ["alarm at 20", "evidence of a change", "raised at 4"]
    quiet = plot_risk(np.ones(5), 20.0)
    assert legend(quiet) == ["alarm at 20", "evidence of a change"]


def nasty_figures(tables):
    return {
        "progress": plot_progress(tables["progress"]),
        "front": plot_front(front(_sized((0.9, 50, 8), (0.8, 40, 1)), Goal.parse("max auc, min ms where size <= 5"))),
        "importance": plot_importance(tables["importance"]),
        "surface": plot_surface(tables["surface"]),
        "effect": plot_effect(tables["effect"]),
        "curves": plot_curves([1, 2], [1, 2], [1, 2], xlabel=NASTY[0], ylabel=NASTY[2]),
        "column": plot_column(column_curve(columned(NASTY[0], NASTY), GOAL)),
        "confusion": plot_confusion(np.eye(len(NASTY)), NASTY),
        "roc": plot_roc({name: ([0, 1], [0, 1], 0.5) for name in NASTY}),
        "residuals": plot_residuals([1, 2], [1, 2], unit=NASTY[0]),
        "scores": plot_scores([ScoreBar(name, 0.5, 0.4, 0.6) for name in NASTY], NASTY[0]),
        "folds": plot_folds({name: [0.5, 0.6] for name in NASTY}, NASTY[3]),
        "risk": plot_risk([1, 2, 3], 20, xlabel=NASTY[5]),
    }


@pytest.mark.slow
def test_whatever_the_names_the_svg_is_sound_and_always_the_same(tables):
    again = nasty_figures(tables)
    for which, fig in nasty_figures(tables).items():
        svg = figure_svg(fig, alt=NASTY[0])
        root = ET.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg", which
        assert root.get("aria-label") == NASTY[0]
        assert not {e.tag.rpartition("}")[2] for e in root.iter()} & {"script", "metadata", "style", "b"}, which
        assert "<script" not in svg
        assert not re.search(r'<g[^>]* id="|20\d\d-\d\d-\d\dT', svg), "no ids that clash on a page, no date"
        assert svg == figure_svg(again[which], alt=NASTY[0]), which
        assert len(svg) < 60_000, which


def test_saving_a_figure_does_not_change_it(tables, tmp_path):
    fig = plot_surface(tables["surface"])
    first = figure_svg(fig)
    figure_png(fig, tmp_path / "surface.png")
    assert figure_svg(fig) == first


def test_text_stays_text():
    texts = [e.text for e in ET.fromstring(figure_svg(plot_scores([ScoreBar("größe <5 & $x_2$", 0.5)]))).iter() if e.tag.endswith("text")]
    assert "größe <5 & $x_2$" in texts


def test_nothing_to_draw_is_said():
    space = Space({"a": Float(0, 1), "b": Float(0, 1)})
    empty: dict[str, Figure] = {
        "no trial has ended yet": plot_progress(progress([], GOAL)),
        "too few trials to tell": plot_importance(Importance()),
        "nothing was scored": plot_scores([]),
        "nothing was watched yet": plot_risk([], 20.0),
        "nothing was measured on the way": plot_curves([], [], []),
    }
    for words, fig in empty.items():
        assert words in figure_svg(fig)
    blank_surface: Surface = surface([], GOAL, space, "a", "b")
    blank_effect: Effect = effect([], GOAL, space, "a")
    for fig in (plot_surface(blank_surface), plot_effect(blank_effect)):
        assert "too few trials to tell" in figure_svg(fig)
    for fig in (plot_folds({}), plot_residuals([], []), plot_roc({}), plot_confusion(np.zeros((0, 0)), [])):
        ET.fromstring(figure_svg(fig))


def test_one_trial_is_drawn():
    one = history(1)
    for fig in (plot_progress(progress(one, GOAL)), plot_effect(effect(one, GOAL, SPACE, "C $")), plot_surface(surface(one, GOAL, SPACE, "C $", "model <b>"))):
        ET.fromstring(figure_svg(fig))


def test_a_png_is_written(tmp_path):
    path = figure_png(plot_risk([1, 2], 20), tmp_path / "risk.png", dpi=50)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_users_own_style_is_left_alone(tables):
    before = dict(matplotlib.rcParams)
    figure_svg(plot_progress(tables["progress"]))
    assert dict(matplotlib.rcParams) == before


def test_the_door_to_the_pictures_opens_at_once():
    code = "import sys, staytuned.plots; print(*sys.modules); staytuned.plots.figure_png; print(*sys.modules)"
    before, after = (set(line.split()) for line in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines())
    assert not before & {"numpy", "matplotlib"}
    assert "matplotlib" in after
    assert not after & {"scipy.stats", "staytuned.study"}, "what one picture needs, the others do not wait for"


def test_the_stub_of_the_pictures_says_the_same():
    stub = ast.parse(Path(plots.__file__).with_suffix(".pyi").read_text())
    homes = {alias.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert homes == {name: getattr(plots, name).__module__ for name in plots.__all__}
    with pytest.raises(AttributeError, match="no attribute 'plot_roq'; it has plot_progress"):
        _ = plots.plot_roq


@pytest.mark.parametrize("count", [1, 2, 1199, 1600, 5000])
def test_a_long_line_is_thinned_and_keeps_its_ends(count):
    places = axes(plot_risk(np.ones(count), 20)).get_lines()[1].get_xdata()
    assert len(places) == min(count, 1600)
    assert (places[0], places[-1]) == (1, count)
