import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from staytuned.automl.automl import AutoML
from staytuned.automl.report import render, standings, write_report
from staytuned.trial import Measurement, Reading, Status

NASTY = '<b>"x"&'
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Balanced(HTMLParser):
    """Fails unless every element that is opened is closed in order; keeps the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def parsed(page: str) -> Balanced:
    reader = Balanced()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module", params=["binary", pytest.param("multiclass", marks=pytest.mark.slow), pytest.param("regression", marks=pytest.mark.slow)])
def result(request):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 2))
    signal = x[:, 0] + 0.3 * rng.normal(size=150)
    target = {"binary": signal > 0, "multiclass": np.select([signal < -0.5, signal < 0.5], ["<i>&", "b"], "c"), "regression": signal}[request.param]
    frame = pd.DataFrame({NASTY: x[:, 0], "größe 港口": x[:, 1], "y": target})
    return AutoML(time=None, trials=6, quality="fast", n_jobs=1, random_state=0, name="<script>alert(1)").fit(frame, target="y").result_


def test_it_opens_offline_and_runs_nothing(result, tmp_path):
    path = write_report(result, tmp_path / "deep" / "report.html")
    page = path.read_text(encoding="utf-8")
    reader = parsed(page)
    assert "script" not in reader.seen
    assert not {"link", "img", "iframe", "object", "embed", "form"} & reader.seen
    assert not re.search(r"""(href|src)\s*=\s*["'](?!#)""", page)
    assert not re.search(r"url\((?!#)", page)
    assert set(re.findall(r"https?://[^\s\"<>]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not addresses
    assert path.stat().st_size < 2_000_000
    shapes = re.findall(r"<path id=\"([^\"]+)\" (d=\"[^\"]*\")", page)
    clips = re.findall(r"<clipPath id=\"([^\"]+)\">\s*(.*?)\s*</clipPath>", page, flags=re.DOTALL)
    assert shapes
    assert clips
    for named in (shapes, clips):
        assert len({name for name, _ in named}) == len(set(named))  # pictures never borrow another one's part


def test_every_name_is_text(result):
    page = render(result)
    text = " ".join(parsed(page).words)
    assert "<b>" not in page.partition("<h2>Columns")[2]
    assert NASTY in text
    assert "größe 港口" in text
    assert "<script>alert(1)" in text


def test_it_tells_the_whole_story(result):
    reader = parsed(render(result))
    text = " ".join(reader.words)
    for heading in ("The steps", "Pictures", "Baselines and best of each model", "Leaderboard", "What it cost", "Columns"):
        assert heading in text
    assert result.test.sentence in text
    assert result.fit.sentence in text
    own = {"binary": ["Confusion matrix", "ROC curve"], "multiclass": ["Confusion matrix"], "regression": ["Residuals"]}[result.table.task]
    for picture in ["Scores", "Progress", "Learning curve", *own]:
        assert picture in text
    assert "nan" not in re.findall(r"[a-z]+", text.lower())


def test_every_model_stands_beside_its_default(result):
    rows = standings(result)
    assert len(rows) == len(result.plan.families)
    scores = [row.best.score for row in rows if row.best]
    assert scores == sorted(scores, reverse=result.metric.direction == "max")
    assert sum(row.trials for row in rows) == 6
    for row in rows:
        assert re.fullmatch(r"-?\d+\.\d{4}|stopped after \d of 3 folds, about -?\d+\.\d{4}", row.default), row.default


def standing_of(result, measurement):
    """The words for the first default, had it ended so."""
    study = result.tuned.study
    first = replace(study.trials[0], measurement=measurement)

    class Story:
        goal, trials = study.goal, (first,)

    plan = replace(result.plan, families=[f for f in result.plan.families if f.name == first.config["model"]])
    [row] = standings(replace(result, tuned=replace(result.tuned, study=Story(), plan=plan)))
    return row


def test_a_default_without_a_score_says_why(result):
    name = result.metric.name
    assert standing_of(result, None).default == "not tried"
    failed = standing_of(result, Measurement(status=Status.TIMEOUT, cure="ran for 5 s; raise the limit"))
    assert (failed.default, failed.best) == ("timeout: ran for 5 s; raise the limit", None)
    folds = (Reading("fold", 0, {name: 0.25}), Reading("fold", 1, {name: 0.75}))
    assert standing_of(result, Measurement(status=Status.PRUNED, readings=folds)).default == "stopped after 2 of 3 folds, about 0.5000"
    assert standing_of(result, Measurement({name: 0.4}, Status.PRUNED, readings=folds)).default == "stopped after 2 of 3 folds, about 0.4000"
    assert standing_of(result, Measurement({name: 0.4})).default == "0.4000"
