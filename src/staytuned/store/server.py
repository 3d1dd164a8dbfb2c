"""A ledger's database on a server, which many machines share; what PostgreSQL and MySQL have in common."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import Connection, Engine, MetaData, NullPool, Table, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from staytuned.errors import LedgerError, LedgerLocked, UsageError
from staytuned.store.blobs import TableBlobs, Visit
from staytuned.store.schema import SERVER_TABLES, TABLES


class Kind(Protocol):
    """What differs between servers."""

    scheme: str  # how its URLs begin
    driver: str  # what SQLAlchemy calls it, with the Python package that speaks to it
    extra: str  # of staytuned, that brings this package

    def arguments(self, patience: float) -> dict[str, Any]:
        """What the package is told when it connects; times in seconds."""
        ...

    def settings(self, patience: float, read_only: bool) -> list[str]:
        """Statements for every new connection."""
        ...

    def begin(self, connection: Connection, patience: float) -> float | None:
        """Begin a transaction as the only writer; the server's time, or None if another one wrote for longer than ``patience``."""
        ...

    def commit(self, connection: Connection) -> None:
        """End the transaction, and let the next writer in."""
        ...

    def check(self, connection: Connection) -> str:
        """Why a ledger cannot be in this database; empty if it can."""
        ...

    def lost(self, problem: BaseException) -> bool:
        """Whether the driver's exception says that the connection broke or could not be made."""
        ...

    def trouble(self, problem: BaseException, place: str, patience: float) -> LedgerError | None:
        """The ledger error for the driver's exception, where there is more to say than its own words."""
        ...


class Server:
    """A database on a server.

    Args:
        url: as SQLAlchemy writes it, such as ``postgresql://user:password@host:5432/database``.
        patience: seconds to wait for another writer, or for a server that went away.

    Raises:
        UsageError: the URL cannot be read or names no database, or the package that speaks to the server is not installed.
    """

    def __init__(self, url: str, kind: Kind, *, read_only: bool, patience: float) -> None:
        self.url = url
        self._kind = kind
        self._patience = patience
        parts = _parts(url, kind)
        self.place = (
            f"{kind.scheme}://{f'{parts.username}@' if parts.username else ''}{parts.host or ''}{f':{parts.port}' if parts.port else ''}/{parts.database}"
        )
        try:
            self._engine = create_engine(parts, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=kind.arguments(patience))
        except (NoSuchModuleError, ModuleNotFoundError, ImportError) as problem:
            raise UsageError(f"{self.place} needs a package that is not installed ({problem}): pip install 'staytuned[{kind.extra}]'") from problem
        event.listen(self._engine, "connect", lambda raw, _: _settle(raw, kind.settings(patience, read_only)))

    @property
    def engine(self) -> Engine:
        return self._engine

    def begin(self, connection: Connection, lasting: bool) -> float:  # noqa: ARG002
        """Become the only writer; the server's time. A server outlives its users, so everything must last."""
        now = self._kind.begin(connection, self._patience)
        if now is None:
            raise LedgerLocked(f"{self.place} was held by another process for {self._patience:g} s; wait until it ends, or stop it, and try again")
        return now

    def commit(self, connection: Connection) -> None:
        """Keep what was written, and let the next writer in."""
        self._kind.commit(connection)

    def create(self, connection: Connection) -> None:
        """Make the tables of a new ledger."""
        if fault := self._kind.check(connection):
            raise LedgerError(f"{self.place}: {fault}")
        TABLES.create_all(connection)
        SERVER_TABLES.create_all(connection)

    def made(self) -> None:
        """It holds a ledger now."""

    def blobs(self, visit: Visit) -> TableBlobs:
        """Where blobs are kept if nothing else is said: in the database."""
        return TableBlobs(visit, self.place)

    def back_up(self, connection: Connection, version: int) -> None:
        """Copy the tables that steps change, as ``facts_v1`` and so on."""
        for table in TABLES.sorted_tables:
            copy = _quoted(connection, Table(f"{table.name}_v{version}", MetaData()))
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {copy}")
            connection.exec_driver_sql(f"CREATE TABLE {copy} AS SELECT * FROM {_quoted(connection, table)}")

    def lost(self, problem: BaseException) -> bool:
        """Whether the connection broke, so that another one may do."""
        return isinstance(problem, DBAPIError) and (problem.connection_invalidated or self._kind.lost(problem.orig or problem))

    def trouble(self, problem: BaseException) -> LedgerError:
        """What went wrong, and the way out."""
        known = self._kind.trouble(problem, self.place, self._patience)
        if known is not None:
            return known
        said = " ".join(str(problem).split())
        if self._kind.lost(problem):
            return LedgerError(f"{self.place} cannot be reached ({said}); check that the server runs and the host, and run the same command again")
        return LedgerError(f"{self.place}: {said}; look into the server's log")


def _parts(url: str, kind: Kind) -> URL:
    example = f"{kind.scheme}://user:password@host/database"
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError) as problem:
        raise UsageError(f"this {kind.scheme} URL cannot be read; write {example}, with %40 for an @ in the password") from problem
    if not parts.database:
        raise UsageError(f"this {kind.scheme} URL names no database; write {example}")
    return parts if "+" in parts.drivername else parts.set(drivername=kind.driver)


def _settle(raw: Any, settings: list[str]) -> None:
    cursor = raw.cursor()
    for statement in settings:
        cursor.execute(statement)
    cursor.close()


def _quoted(connection: Connection, table: Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)
