"""TuneSearchCV on somebody else's executor: the same search, wherever its trials run; and what becomes of the executor in clones and pickles."""

import multiprocessing
import pickle
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from searches import OURS, Noted, Stubborn, X, columns_agree, search, y
from staytuned.errors import UsageError
from staytuned.execute.inline import InlineExecutor
from staytuned.execute.processes import ProcessExecutor
from staytuned.search import TuneSearchCV
from staytuned.space.dims import Choice, Float, Int
from staytuned.trial import Status

LEVEL = {"level": Float(0, 1)}
TABLE = np.ones((2000, 10))  # as large as what Dask lays down on its workers
HALVES = np.arange(2000) % 2


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as executor:
        yield executor


def same(found: TuneSearchCV, alone: TuneSearchCV) -> None:
    """All that does not depend on how long it took or where it ran."""
    columns_agree(found.cv_results_, {name: column for name, column in alone.cv_results_.items() if name not in OURS})
    assert found.cv_results_["origin"].tolist() == alone.cv_results_["origin"].tolist()
    assert found.cv_results_["status"].tolist() == alone.cv_results_["status"].tolist()
    assert found.best_params_ == alone.best_params_
    assert found.honest_ == alone.honest_
    np.testing.assert_array_equal(found.predict(X), alone.predict(X))


# --- the same search


def test_threads_find_what_one_does(threads: Executor) -> None:
    same(search(race=False, executor=threads).fit(X, y), search(race=False).fit(X, y))
    assert threads.submit(pow, 7, 2).result() == 49  # whoever made it shuts it down


def test_processes_find_what_one_does() -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        same(search(race=False, executor=executor, trials=4).fit(X, y), search(race=False, trials=4).fit(X, y))


@pytest.mark.parametrize(
    "options",
    [
        {"method": "auto"},
        {"scheduler": "halving", "fidelity": 1 / 3, "trials": 8},
        {"space": {"n_neighbors": Int(1, 9), "p": Choice([1, 2])}, "estimator": KNeighborsClassifier()},
        {"space": {"logisticregression__C": Float(1e-2, 1e2, log=True)}, "estimator": make_pipeline(StandardScaler(), LogisticRegression())},
    ],
    ids=["raced", "halving", "columns", "pipeline"],
)
def test_one_trial_at_a_time_is_the_search_without_an_executor(threads: Executor, options: dict[str, Any]) -> None:
    same(search(executor=threads, n_jobs=1, **options).fit(X, y), search(**options).fit(X, y))


def test_a_search_goes_on_from_its_ledger_on_another_executor(threads: Executor, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    search(race=False, ledger=ledger, trials=3).fit(X, y)
    same(search(race=False, ledger=ledger, executor=threads).fit(X, y), search(race=False).fit(X, y))


def test_failures_cost_only_themselves_and_may_be_raised(threads: Executor) -> None:
    with pytest.warns(FitFailedWarning, match=r"of 12 trials failed.*level .* is too high"):
        found = search(LEVEL, Stubborn(), trials=12, executor=threads).fit(X, y)
    assert 0 < sum(trial.status is Status.FAILED for trial in found.trials_) < 12
    assert found.best_params_["level"] <= 0.5
    with pytest.raises(RuntimeError, match="is too high"):
        search(LEVEL, Stubborn(), trials=12, executor=threads, error_score="raise").fit(X, y)
    assert threads.submit(pow, 7, 2).result() == 49


def test_workers_have_scikit_learns_settings(threads: Executor) -> None:
    def finite(estimator: Any, X: Any, y: Any) -> float:  # noqa: ARG001
        return float(sklearn.get_config()["assume_finite"])

    with sklearn.config_context(assume_finite=True):
        assert search(scoring=finite, trials=2, executor=threads).fit(X, y).best_score_ == 1.0
    assert search(scoring=finite, trials=2, executor=threads).fit(X, y).best_score_ == 0.0


def test_metadata_is_routed_there_too(threads: Executor) -> None:
    weights = np.where(y == 1, 5.0, 0.2)
    with sklearn.config_context(enable_metadata_routing=True):
        steps = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), LogisticRegression().set_fit_request(sample_weight=True))
        scoring = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        space = {"logisticregression__C": Float(1e-2, 1e2, log=True)}
        found, alone = (search(space, steps, scoring=scoring, race=False, executor=place).fit(X, y, sample_weight=weights) for place in (threads, None))
        columns_agree(found.cv_results_, {name: column for name, column in alone.cv_results_.items() if name not in OURS})


# --- how many at once


class Crowd:
    """How many fits run side by side, each of which waits until there are three."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.three = threading.Barrier(3)
        self.now = self.most = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.three.wait(60)
        with self.lock:
            self.now -= 1
        yield


crowd = Crowd()


class Sociable(Stubborn):
    """Fits in company."""

    def fit(self, X: Any, y: Any) -> Any:
        with crowd.entered():
            return super().fit(X, y)


def test_n_jobs_says_how_many_trials_it_is_given() -> None:
    with ThreadPoolExecutor(8) as executor:
        search({"level": Float(0, 0.5)}, Sociable(0.2), executor=executor, n_jobs=3, cv=2, refit=False).fit(X, y)
    assert crowd.most == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"trial_timeout": 5.0}, "cannot be given to an executor that is there already"),
        ({"memory": 10**9}, "cannot be given to an executor that is there already"),
        ({"n_jobs": -1}, "n_jobs=-1 with an executor"),
        ({"executor": 8}, r"executor=8 has no submit\(\)"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        search(**{"executor": InlineExecutor()} | options).fit(X, y)


# --- clones and pickles


def test_clones_share_it(threads: Executor) -> None:
    made = search(executor=threads, race=False)
    for twin in (clone(made), clone(made.fit(X, y))):
        assert twin.executor is threads
        assert twin.get_params().keys() == made.get_params().keys()
        assert not [name for name in vars(twin) if name.endswith("_")]
        assert twin.estimator is not made.estimator
        same(twin.fit(X, y), made)
    assert made.executor is threads
    assert clone(search()).executor is None
    assert clone(made.set_params(executor=None)).executor is None


def test_nested_in_cross_validation(threads: Executor) -> None:
    alone = cross_val_score(search(trials=3, race=False), X, y, cv=3)
    np.testing.assert_array_equal(cross_val_score(search(trials=3, race=False, executor=threads), X, y, cv=3), alone)


@pytest.mark.parametrize("copied", [lambda made: pickle.loads(pickle.dumps(made)), deepcopy, copy], ids=["pickle", "deepcopy", "copy"])
def test_pickles_and_copies_leave_it_behind(threads: Executor, copied: Any) -> None:
    made = search(executor=threads, race=False).fit(X, y)
    again = copied(made)
    np.testing.assert_array_equal(again.predict(X), made.predict(X))
    assert again.best_params_ == made.best_params_
    for kept in (again, copied(again), clone(again)):
        with pytest.raises(UsageError, match=r"its ThreadPoolExecutor stayed behind; give it an executor by set_params\(executor"):
            kept.fit(X, y)
        assert "ThreadPoolExecutor" in repr(kept)
    same(clone(again).set_params(executor=None).fit(X, y), made)
    same(again.set_params(executor=threads).fit(X, y), made)
    assert made.executor is threads


def test_pickles_of_a_search_without_one_are_as_before() -> None:
    assert pickle.loads(pickle.dumps(search())).fit(X, y).executor is None


# --- the table travels once


def notes(folder: Path) -> int:
    """How often a search's estimator, and so its table, was unpacked."""
    return len(list(folder.iterdir()))


def noted(folder: Path, executor: Any) -> TuneSearchCV:
    found = search(LEVEL, Noted(str(folder)), trials=16, cv=2, race=False, executor=executor).fit(TABLE, HALVES)
    assert set(found.cv_results_["status"]) == {"done"}
    assert found.best_score_ == pytest.approx(max(found.cv_results_["param_level"]))
    return found


def test_threads_share_the_table(threads: Executor, tmp_path: Path) -> None:
    noted(tmp_path, threads)
    assert notes(tmp_path) == 0


@pytest.mark.slow
def test_processes_that_keep_it_are_sent_the_table_once(tmp_path: Path) -> None:
    with ProcessExecutor(2) as executor:
        noted(tmp_path, executor)
        assert notes(tmp_path) == 2
        same(search(race=False, executor=executor).fit(X, y), search(race=False).fit(X, y))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Dask's own threads and sockets
def test_on_dask(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed; pip install 'staytuned[dask]'")
    with (
        warnings.catch_warnings(action="ignore"),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        executor = client.get_executor()
        noted(tmp_path, executor)
        assert notes(tmp_path) <= 6  # once per worker; Dask may hand it over again while it spreads it
        made = search(race=False, executor=executor).fit(X, y)
        same(made, search(race=False).fit(X, y))
        same(clone(made).fit(X, y), made)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)).predict(X), made.predict(X))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own processes and sockets
def test_on_ray(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'staytuned[ray]'")
    from staytuned.execute.ray import RayExecutor

    here = {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False, runtime_env={"env_vars": here})
    try:
        with RayExecutor() as executor:
            noted(tmp_path, executor)
            assert notes(tmp_path) == 2
            made = search(race=False, executor=executor).fit(X, y)
            same(made, search(race=False).fit(X, y))
            same(clone(made).fit(X, y), made)
            np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)).predict(X), made.predict(X))
    finally:
        ray.shutdown()
