"""AutoML says what its winner's score is worth, where that can be said in time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from staytuned.automl.automl import AutoML
from staytuned.store.open import open_ledger

SPACE = {"linear": {"C": [0.01, 0.1, 1.0, 10.0]}, "knn": {"n_neighbors": [1, 3, 9]}, "decision_tree": {"max_depth": [1, 2, 5]}} | dict.fromkeys(
    ("lightgbm", "hist_gradient_boosting", "random_forest", "extra_trees", "mlp", "svm"), False
)


def noisy(rows: int = 120) -> pd.DataFrame:
    """Nothing in it tells anything about the target."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(rows, 3)), columns=list("abc")).assign(sold=rng.choice(["yes", "no"], rows))


@pytest.fixture(scope="module")
def model() -> AutoML:
    return AutoML(time=None, trials=8, quality="fast", random_state=0, n_jobs=1, space=SPACE).fit(noisy(), target="sold")


def test_the_naive_score_is_the_one_it_was_chosen_by(model: AutoML) -> None:
    tuned = model.result_.tuned
    assert tuned.honest is not None
    assert tuned.honest.naive == pytest.approx(tuned.score, abs=1e-9)
    assert tuned.honest.low <= tuned.honest.corrected <= tuned.honest.high
    assert tuned.honest.corrected < tuned.score  # there was nothing to find
    assert tuned.honest.low < 0.5


def test_it_is_shown_and_kept(model: AutoML, tmp_path) -> None:
    corrected = f"{model.result_.tuned.honest.corrected:.4f}"
    assert f"corrected for the choice {corrected}" in model.report(tmp_path / "report.html").read_text(encoding="utf-8")
    version = model.keep(open_ledger(tmp_path / "ledger.db"))
    assert version.lineage.scores["validation_corrected"] == pytest.approx(model.result_.tuned.honest.corrected)


@pytest.mark.parametrize("options", [{"cv": 1}, pytest.param({"metric": "f1"}, marks=pytest.mark.slow)])
def test_where_it_cannot_be_said_it_is_not(options) -> None:
    model = AutoML(time=None, trials=2, quality="fast", random_state=0, n_jobs=1, space=SPACE, **options).fit(noisy(), target="sold")
    assert model.result_.tuned.honest is None
