"""Reads Optuna's RDB storage in a file of SQLite, by plain SQL."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from staytuned.adapters.optuna_records import DIRECTIONS, STATES, OptunaStudy, OptunaTrial, distribution_in, seconds_in
from staytuned.errors import UsageError

_SCHEMA = 12
_REVISIONS = ("v3.0.0.d", "v3.2.0.a")  # of Optuna 3 to 5; the second only added an index
_SPECIAL = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


def read_sqlite(path: Path) -> list[OptunaStudy]:
    """The studies of a storage, which is opened for reading only.

    Raises:
        UsageError: it is no storage of Optuna 3 to 5.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")  # one view of it, whoever writes meanwhile
            utc = _utc(connection, path)
            return _studies(connection, utc)
    except sqlite3.Error as problem:
        raise UsageError(f"{str(path)!r} cannot be read as a storage of Optuna: {problem}") from problem


def _utc(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether times are in UTC, after the schema was looked at."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"version_info", "studies", "trials", "trial_params"} <= tables:
        raise UsageError(f"{str(path)!r} is a database, but no storage of Optuna; it has the tables {', '.join(sorted(tables)[:5]) or 'none'}")
    schema, library = connection.execute("SELECT schema_version, library_version FROM version_info").fetchone() or (None, "?")
    revision = (connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("none",))[0] if "alembic_version" in tables else "none"
    if schema != _SCHEMA or revision not in _REVISIONS:
        raise UsageError(
            f"{str(path)!r} has Optuna's schema {schema} at revision {revision} (by Optuna {library}); {_SCHEMA} at {' or '.join(_REVISIONS)} can be read: "
            f"optuna storage upgrade --storage sqlite:///{path}"
        )
    major = re.match("[0-9]+", str(library))
    return major is not None and int(major[0]) >= 5


def _studies(connection: sqlite3.Connection, utc: bool) -> list[OptunaStudy]:
    studies = {id: OptunaStudy(name, []) for id, name in connection.execute("SELECT study_id, study_name FROM studies ORDER BY study_id")}
    directions: dict[int, list[str]] = {id: [] for id in studies}
    for id, direction in connection.execute("SELECT study_id, direction FROM study_directions ORDER BY study_id, objective"):
        directions[id].append(_one_of(DIRECTIONS, direction))
    for id, study in studies.items():
        study.directions = directions[id]
    for id, key, value in connection.execute("SELECT study_id, key, value_json FROM study_system_attributes"):
        studies[id].attributes[key] = json.loads(value)
    for id, count in connection.execute("SELECT study_id, count(*) FROM study_user_attributes GROUP BY study_id"):
        studies[id].notes = count
    trials: dict[int, OptunaTrial] = {}
    rows = connection.execute("SELECT trial_id, study_id, number, state, datetime_start, datetime_complete FROM trials ORDER BY study_id, number, trial_id")
    for id, study_id, number, state, started, ended in rows:
        trials[id] = OptunaTrial(number, _one_of(STATES, state), started=seconds_in(started, utc), ended=seconds_in(ended, utc))
        studies[study_id].trials.append(trials[id])
    for id, name, value, distribution in connection.execute("SELECT trial_id, param_name, param_value, distribution_json FROM trial_params ORDER BY param_id"):
        trials[id].params[name], trials[id].distributions[name] = value, distribution_in(distribution)
    for id, value, kind in connection.execute("SELECT trial_id, value, value_type FROM trial_values ORDER BY trial_id, objective"):
        trials[id].values = (*trials[id].values, _SPECIAL.get(kind, value))
    rows = connection.execute("SELECT trial_id, step, intermediate_value, intermediate_value_type FROM trial_intermediate_values ORDER BY trial_id, step")
    for id, step, value, kind in rows:
        trials[id].readings[step] = _SPECIAL.get(kind, value)
    for id, key, value in connection.execute("SELECT trial_id, key, value_json FROM trial_system_attributes"):
        trials[id].attributes[key] = json.loads(value)
    for id, count in connection.execute("SELECT trial_id, count(*) FROM trial_user_attributes GROUP BY trial_id"):
        trials[id].notes = count
    return list(studies.values())


def _one_of(known: tuple[str, ...], word: str) -> str:
    if word not in known:
        raise UsageError(f"{word!r} is none of {', '.join(known)}; this storage is newer than Optuna 5")
    return word
