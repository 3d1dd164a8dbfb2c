"""Makes optuna.sqlite3.gz, optuna.journal.gz and optuna.json (what Optuna itself says is in them), with Optuna 5.0: python tests/data/make_optuna.py."""

from __future__ import annotations

import gzip
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def objective(trial: Any) -> float:
    import optuna

    rate = trial.suggest_float("rate", 1e-4, 1, log=True)
    share = trial.suggest_float("share", 0.1, 0.9, step=0.2)
    depth = trial.suggest_int("depth", 1, 64, log=True)
    width = trial.suggest_int("width", 8, 32, step=8)
    kind = trial.suggest_categorical("kind", ["tree", "linear", None, True, 2])
    extra = trial.suggest_float("extra", -1, 1) if kind == "tree" else 0.0
    trial.set_user_attr("note", "ünï")
    for step in range(3):
        trial.report(float("nan") if trial.number == 2 and step == 0 else rate + share * step, step)
        if trial.number == 3 and step == 1:
            raise optuna.TrialPruned
    if trial.number == 4:
        raise ValueError("on purpose")
    if trial.number == 5:
        return float("inf")
    return rate + share + depth / 64 + width / 32 + extra


def fill(storage: Any) -> None:
    import optuna

    study = optuna.create_study(study_name="single", storage=storage, direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.set_metric_names(["roc auc"])
    study.enqueue_trial({"rate": 0.5, "kind": "linear"})
    study.optimize(objective, n_trials=8, catch=(ValueError,))
    study.enqueue_trial({"rate": 0.25})
    study.ask().suggest_float("rate", 1e-4, 1, log=True)  # takes the one that waits, and runs for ever
    study.enqueue_trial({"rate": 0.125, "kind": None})

    gone = optuna.create_study(study_name="gone", storage=storage)
    gone.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    optuna.delete_study(study_name="gone", storage=storage)

    several = optuna.create_study(study_name="several", storage=storage, directions=["minimize", "maximize"], sampler=optuna.samplers.RandomSampler(seed=1))
    several.optimize(lambda trial: (trial.suggest_float("x", 0, 1 + trial.number), trial.suggest_int("n", 0, 5)), n_trials=4)


def told(storage: Any) -> dict[str, Any]:
    """What Optuna reads out of a storage."""
    import optuna

    answers = {}
    for name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        answers[name] = [
            {
                "number": t.number,
                "state": t.state.name,
                "params": t.params,
                "values": [str(v) for v in t.values or []],
                "readings": {step: str(v) for step, v in t.intermediate_values.items()},
                "started": t.datetime_start and t.datetime_start.timestamp(),
                "ended": t.datetime_complete and t.datetime_complete.timestamp(),
            }
            for t in study.trials
        ]
    return answers


def main() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        database, journal = Path(folder) / "o.db", Path(folder) / "o.log"
        stores = {"sqlite": optuna.storages.RDBStorage(f"sqlite:///{database}")}
        stores["journal"] = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
        for store in stores.values():
            fill(store)
        (HERE / "optuna.json").write_text(json.dumps({name: told(store) for name, store in stores.items()}, indent=1) + "\n")
        stores["sqlite"].remove_session()
        small = sqlite3.connect(database, isolation_level=None)
        small.execute("PRAGMA page_size=512")
        small.execute("VACUUM")
        small.close()
        (HERE / "optuna.sqlite3.gz").write_bytes(gzip.compress(database.read_bytes(), mtime=0))
        (HERE / "optuna.journal.gz").write_bytes(gzip.compress(journal.read_bytes(), mtime=0))


if __name__ == "__main__":
    main()
