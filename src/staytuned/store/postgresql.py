"""What only PostgreSQL needs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from staytuned.errors import LedgerError, LedgerFull, LedgerLocked, LedgerReadOnly

# A lock of our own, which ends with the transaction: rows are locked by nobody, so that readers and other programs never wait. The second
# number tells ledgers in several schemas of one database apart.
_LOCK = "SELECT pg_advisory_xact_lock(1937010548, hashtext(current_schema())), extract(epoch from clock_timestamp())::float8"


class PostgreSQL:
    """PostgreSQL 12 or newer, by psycopg 3."""

    scheme = "postgresql"
    driver = "postgresql+psycopg"
    extra = "postgresql"

    def arguments(self, patience: float) -> dict[str, Any]:
        """What psycopg is told when it connects. By itself it would wait for hours for a server that the network was cut off from."""
        wait = max(round(patience), 2)
        cut = {"keepalives_idle": wait, "keepalives_interval": max(wait // 3, 1), "keepalives_count": 3, "tcp_user_timeout": 1000 * wait}
        return {"connect_timeout": wait, "application_name": "staytuned"} | cut

    def settings(self, patience: float, read_only: bool) -> list[str]:
        """Statements for every new connection. A writer that falls silent with the lock loses it, or all others would wait for ever."""
        wait = max(round(1000 * patience), 3)
        return [
            f"SET lock_timeout = {wait}",
            f"SET idle_in_transaction_session_timeout = {wait // 3}",  # before the patience of those that wait is at its end
            *(["SET default_transaction_read_only = on"] if read_only else []),
        ]

    def begin(self, connection: Connection, patience: float) -> float | None:  # noqa: ARG002
        """Begin a transaction as the only writer; the server's time. A wait that is too long ends in an error of the server's."""
        connection.exec_driver_sql("BEGIN")
        return float(connection.exec_driver_sql(_LOCK).one()[1])

    def commit(self, connection: Connection) -> None:
        """End the transaction, and with it the lock."""
        connection.exec_driver_sql("COMMIT")

    def check(self, connection: Connection) -> str:
        """Why a ledger cannot be in this database."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        return (
            "" if encoding == "UTF8" else f"its texts are in {encoding}, which cannot hold every name; CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )

    def lost(self, problem: BaseException) -> bool:
        """Whether the connection broke or could not be made."""
        state = getattr(problem, "sqlstate", None) or ""
        return (type(problem).__name__ == "OperationalError" and not state) or state[:2] == "08" or state[:3] == "57P" or state == "25P03"

    def trouble(self, problem: BaseException, place: str, patience: float) -> LedgerError | None:
        """The ledger error where there is more to say than the server's words."""
        said = str(problem)
        match getattr(problem, "sqlstate", None) or "":
            case "55P03":
                return LedgerLocked(f"{place} was held by another process for {patience:g} s; wait until it ends, or stop it, and try again")
            case "53100" | "53400":
                return LedgerFull(f"{place}: the server has no room left; free some space there and run the same command again, nothing recorded is lost")
            case "42501" | "25006":
                return LedgerReadOnly(f"{place} may not be written ({' '.join(said.split())}); ask for the right to, or open it with read_only=True")
        if "authentication failed" in said or "no password supplied" in said:
            return LedgerError(f"{place}: the server refused the user or the password; check both in the URL, where an @ in the password is written %40")
        if "does not exist" in said and ("database" in said or "role" in said):
            return LedgerError(f"{place}: there is no such database or user on this server; create it (createdb), or correct the URL")
        if "too many" in said:
            return LedgerError(f"{place}: the server takes no more connections, and every worker needs one; raise max_connections")
        return None
