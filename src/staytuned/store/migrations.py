"""Brings a ledger written by an older staytuned to the tables of this one.

To change the tables: change ``schema``, append a function to ``STEPS`` that alters an existing database the same way,
and add a test that opens a ledger of the version before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from sqlalchemy import Connection, inspect, select, update
from sqlalchemy.exc import DBAPIError, NoSuchTableError, ProgrammingError

from staytuned.errors import LedgerError, LedgerTooNew
from staytuned.store.databases import Database
from staytuned.store.schema import SERVER_TABLES, TABLES, meta

Step: TypeAlias = Callable[[Connection], None]

STEPS: list[Step] = []  # STEPS[0] leads from version 1 to 2, STEPS[1] from 2 to 3, ...


class NotALedger(LedgerError):
    """The database belongs to some other program, or is just being made a ledger."""


def newest() -> int:
    """The version this staytuned writes."""
    return 1 + len(STEPS)


def version(connection: Connection, place: str) -> int:
    """The version of the ledger, 0 for an empty database, or one that a killed process had begun to make a ledger.

    Raises:
        LedgerTooNew: a newer staytuned wrote it.
        NotALedger: the database belongs to some other program, or another process is just making it a ledger.
    """
    names = inspect(connection).get_table_names()
    try:
        return _version(connection, names, place)
    except (NoSuchTableError, ProgrammingError) as problem:
        if not _others(connection, names):
            raise
        raise NotALedger(f"{place} is just being made a ledger by another process; open it again in a moment") from problem


def _version(connection: Connection, names: Sequence[str], place: str) -> int:
    if not names:
        return 0
    found = _stamp(connection) if meta.name in names else None
    if found is None and _unfinished(connection, names):
        return 0
    if found is None:
        tables = ", ".join(names[:3])
        raise NotALedger(f"{place} is a database, but not a ledger (it holds the tables {tables}); choose another one, it was left as it is")
    if found > newest():
        raise LedgerTooNew(f"{place} has version {found}, and this staytuned knows versions up to {newest()}; upgrade it: pip install --upgrade staytuned")
    return found


def prepare(connection: Connection, database: Database) -> None:
    """Create the tables, or bring them from their version to the newest after a copy was made, inside the caller's exclusive transaction."""
    found = version(connection, database.place)
    if found == 0:
        for tables in (SERVER_TABLES, TABLES):
            tables.drop_all(connection)  # what is unfinished is empty
        database.create(connection)
        connection.execute(meta.insert().values(name="version", value=str(newest())))
    elif found < newest():
        database.back_up(connection, found)
        for step in STEPS[found - 1 :]:
            step(connection)
        connection.execute(update(meta).where(meta.c.name == "version").values(value=str(newest())))


def _others(connection: Connection, names: Collection[str]) -> bool:
    """Whether there are other tables by now: on MySQL, whoever makes a half-made ledger anew takes its tables away one by one, before all eyes."""
    try:
        return set(inspect(connection).get_table_names()) != set(names)
    except DBAPIError:  # a transaction that has failed tells no more
        return False


def _unfinished(connection: Connection, names: Collection[str]) -> bool:
    """Whether it holds empty tables of ours and nothing else: MySQL cannot take back the making of tables."""
    ours = {**TABLES.tables, **SERVER_TABLES.tables}
    look = inspect(connection)
    return all(
        name in ours
        and {column["name"] for column in look.get_columns(name)} == set(ours[name].columns.keys())
        and connection.execute(select(ours[name]).limit(1)).first() is None
        for name in names
    )


def _stamp(connection: Connection) -> int | None:
    if not {"name", "value"} <= {column["name"] for column in inspect(connection).get_columns(meta.name)}:
        return None
    found = connection.execute(select(meta.c.value).where(meta.c.name == "version")).scalar()
    try:
        return int(str(found))
    except ValueError:
        return None
