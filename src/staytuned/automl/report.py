"""One page a person can read: a single HTML file that opens offline."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from sklearn.metrics import auc, confusion_matrix, roc_curve

from staytuned import plots
from staytuned.automl.effort import share_words
from staytuned.automl.result import Result
from staytuned.automl.zoo import ZOO, split_config
from staytuned.insight.cost import CostTable, cost
from staytuned.insight.effects import surface, top_pair
from staytuned.insight.importance import importance
from staytuned.insight.leaderboard import LeaderboardRow, leaderboard
from staytuned.insight.progress import progress
from staytuned.study import Study
from staytuned.trial import Status, Trial

_MOST_CLASSES = 25  # a larger confusion matrix cannot be read
_MATTERED, _FEW_TRIALS = "What mattered", 10
_FOREST_SECONDS = 0.02  # what the first of them takes for a trial, about; the second is told by the first
_LIBRARIES = ("staytuned", "scikit-learn", "lightgbm", "numpy", "pandas")


@dataclass(frozen=True)
class Picture:
    """A picture with its title and what it shows."""

    title: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Standing:
    """How one model did.

    Args:
        title: the model's.
        default: the default config's score, or why there is none, in words.
        best: its best finished trial; None if none finished.
        trials: how many it had.
    """

    title: str
    default: str
    best: LeaderboardRow | None
    trials: int


def write_report(result: Result, path: str | Path, seconds: float | None = None) -> Path:
    """Write the report of a finished run; the path of the one file.

    Args:
        seconds: as for :func:`render`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(result, seconds), encoding="utf-8")
    return path


def render(result: Result, seconds: float | None = None) -> str:
    """The report as HTML: no script, no link to anywhere, pictures inline as SVG.

    Args:
        seconds: that it may take; the pictures of what mattered are left out where they would take longer. None for no limit.
    """
    ends = math.inf if seconds is None else time.monotonic() + seconds
    environment = Environment(
        loader=PackageLoader("staytuned.automl", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["score"] = lambda value: "-" if value is None or value != value else f"{value:.4f}"
    environment.filters["seconds"] = lambda value: f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"
    environment.filters["share"] = share_words
    environment.filters["short"] = lambda value: f"{value:.4g}" if isinstance(value, float) else str(value)
    study = result.tuned.study
    family, params = split_config(result.tuned.config)
    pictures = list(_pictures(result, ends))
    return environment.get_template("report.html").render(
        result=result,
        study=study,
        rationed=any(trial.share < 1 for trial in study.trials),
        family=ZOO[family],
        params=params,
        board=leaderboard(study.trials, study.goal, limit=15),
        standings=standings(result),
        costs=_costs(result),
        pictures=pictures,
        hurried=time.monotonic() > ends or (seconds is not None and len(study.trials) > _FEW_TRIALS and not any(p.title == _MATTERED for p in pictures)),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
        python=platform.python_version(),
        zoo=ZOO,
    )


def standings(result: Result) -> list[Standing]:
    """Every model's default beside the best found for it, the best model first, those without a score last."""
    study, goal = result.tuned.study, result.tuned.study.goal
    best = {row.config["model"]: row for row in leaderboard(study.trials, goal, limit=None, by="model").rows}
    defaults = {trial.config["model"]: trial for trial in reversed(study.trials) if trial.origin == "default"}
    places = {name: place for place, name in enumerate(best)}
    names = sorted((family.name for family in result.plan.families), key=lambda name: places.get(name, len(places)))
    counts = Counter(trial.config["model"] for trial in study.trials)
    return [Standing(ZOO[name].title, _default_words(defaults.get(name), result), best.get(name), counts[name]) for name in names]


def _default_words(trial: Trial | None, result: Result) -> str:
    """The default's score, or how far it came."""
    if trial is None or trial.status is Status.RUNNING:
        return "not tried"
    score = result.tuned.study.goal.score(trial)
    if trial.status is Status.DONE:
        return f"{score:.4f}" + (f" on {share_words(trial.share)} of the rows" if trial.share < 1 else "")
    seen = [r.scores[result.metric.name] for r in trial.readings if r.place == "fold" and result.metric.name in r.scores]
    if trial.status is Status.PRUNED:
        about = score if np.isfinite(score) else float(np.mean(seen)) if seen else float("nan")
        return f"stopped after {len(seen)} of {len(result.plan.folds)} folds" + (f", about {about:.4f}" if np.isfinite(about) else "")
    return f"{trial.status}: {trial.cure}"


def _costs(result: Result) -> CostTable:
    return cost(result.tuned.study.trials, by="model")


def _pictures(result: Result, ends: float) -> Iterator[Picture]:
    study, metric = result.tuned.study, result.metric
    began = time.monotonic()
    yield _picture("Scores", "On the test part, which nothing had touched, with 95 % intervals.", plots.plot_scores(_score_rows(result), metric.name))
    each = time.monotonic() - began
    whole = [trial for trial in study.trials if trial.share == result.best.share]  # scores at different shares cannot be compared
    rows = f" on {share_words(result.best.share)} of the training rows" if result.best.share < 1 else ""
    yield _picture("Progress", f"Every trial's validation score{rows}, and the best so far.", plots.plot_progress(progress(whole, study.goal)))
    yield from _quality_pictures(result)
    if result.curve is not None:
        figure = plots.plot_curves(result.curve.rows, result.curve.train, result.curve.validation, xlabel="training rows", ylabel=metric.name)
        yield _picture(
            "Learning curve",
            "The chosen config refitted on growing shares of the first fold's rows. If validation is still getting better at the right, more rows would help.",
            figure,
        )
    yield from _what_mattered(study, metric.name, each, ends)


def _what_mattered(study: Study, metric: str, each: float, ends: float) -> Iterator[Picture]:
    """The pictures that take longest, as far as there is time.

    Args:
        each: seconds that another picture took.
        ends: by ``time.monotonic``.
    """
    began = time.monotonic()
    if began + each + _FOREST_SECONDS * len(study.trials) > ends:
        return
    matter = importance(study.trials, study.goal, study.space)
    spent = time.monotonic() - began
    if matter.rows:
        caption = f"Share of the variation in validation score that each hyperparameter explains. {matter.note}"
        yield _picture(_MATTERED, caption, plots.plot_importance(matter))
    if time.monotonic() + each + 2 * spent > ends:  # it grows such forests twice
        return
    pair = top_pair(study.trials, study.goal, study.space)
    if pair is not None:
        table = surface(study.trials, study.goal, study.space, *pair)
        yield _picture("The two that mattered most together", f"Predicted {metric} over {pair[0]} and {pair[1]}; dots are trials.", plots.plot_surface(table))


def _quality_pictures(result: Result) -> Iterator[Picture]:
    y, prediction = result.y_test, result.prediction
    if result.table.task == "regression":
        yield _picture(
            "Residuals",
            "What was predicted on the test part against what came.",
            plots.plot_residuals(np.asarray(y, dtype=float), np.asarray(prediction.labels, dtype=float)),
        )
        return
    classes = list(prediction.classes)
    if len(classes) <= _MOST_CLASSES:
        matrix = confusion_matrix(_text(y), _text(prediction.labels), labels=_text(classes))
        yield _picture("Confusion matrix", "Rows of the test part by true and predicted class.", plots.plot_confusion(matrix, [str(c) for c in classes]))
    if result.table.task == "binary":
        yield _picture("ROC curve", f"True against false positives on the test part; positive is {classes[1]!r}.", plots.plot_roc(_roc_curves(result)))


def _roc_curves(result: Result) -> dict[str, plots.RocCurve]:
    curves = {}
    for name, prediction in (("tuned", result.prediction), ("best default", result.baseline_prediction)):
        if prediction is not None and prediction.probabilities is not None:
            false_rate, true_rate, _ = roc_curve(_text(result.y_test) == _text(prediction.classes)[1], prediction.probabilities[:, 1])
            curves[name] = plots.RocCurve(false_rate, true_rate, float(auc(false_rate, true_rate)))
    return curves


def _score_rows(result: Result) -> list[plots.ScoreBar]:
    bars = [plots.ScoreBar("no model", result.test.dummy)]
    named = (("best default", result.test.baseline), ("tuned", result.test.tuned))
    return bars + [plots.ScoreBar(name, i.point, i.low, i.high) for name, i in named if i is not None]


def _text(values: Any) -> Any:
    return np.asarray(values).astype(str)


def _picture(title: str, caption: str, figure: Figure) -> Picture:
    return Picture(title, caption, Markup(plots.figure_svg(figure, title)))  # our own drawing; the SVG writer escapes its texts
