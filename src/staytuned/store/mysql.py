"""What only MySQL and MariaDB need."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from staytuned.errors import LedgerError, LedgerFull, LedgerLocked, LedgerReadOnly

# A lock of our own, which ends with the connection. It is no row's: tables are made under it too, and that ends a transaction here.
_LOCK = "SELECT GET_LOCK(LEFT(CONCAT('staytuned.', MD5(DATABASE())), 64), %s), UNIX_TIMESTAMP(SYSDATE(6))"
_UNLOCK = "DO RELEASE_LOCK(LEFT(CONCAT('staytuned.', MD5(DATABASE())), 64))"


class MySQL:
    """MySQL 8 or MariaDB 10.5, or newer, by PyMySQL. Changes of tables cannot be taken back there: a migration that fails leaves the copies."""

    scheme = "mysql"
    driver = "mysql+pymysql"
    extra = "mysql"

    def arguments(self, patience: float) -> dict[str, Any]:
        """What PyMySQL is told when it connects."""
        wait = max(round(patience), 2)
        return {"connect_timeout": wait, "read_timeout": 2 * wait, "write_timeout": 2 * wait, "charset": "utf8mb4"}

    def settings(self, patience: float, read_only: bool) -> list[str]:
        """Statements for every new connection."""
        wait = max(round(patience), 1)
        strict = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
        # A writer that falls silent with the lock loses it, where the server can do that.
        waits = f"SET SESSION innodb_lock_wait_timeout = {wait} /*M! , SESSION idle_write_transaction_timeout = {max(wait // 3, 1)} */"
        return [strict, waits, *(["SET SESSION TRANSACTION READ ONLY"] if read_only else [])]

    def begin(self, connection: Connection, patience: float) -> float | None:
        """Begin a transaction as the only writer; the server's time, or None if another one wrote for too long."""
        got, now = connection.exec_driver_sql(_LOCK, (max(patience, 0.001),)).one()
        if got != 1:
            return None
        connection.exec_driver_sql("START TRANSACTION")
        return float(now)

    def commit(self, connection: Connection) -> None:
        """End the transaction and give the lock back."""
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql(_UNLOCK)

    def check(self, connection: Connection) -> str:  # noqa: ARG002
        """A ledger can be in any database: its names are stored as bytes."""
        return ""

    def lost(self, problem: BaseException) -> bool:
        """Whether the connection broke or could not be made."""
        return _number(problem) in _LOST or type(problem).__name__ == "InterfaceError"

    def trouble(self, problem: BaseException, place: str, patience: float) -> LedgerError | None:
        """The ledger error where there is more to say than the server's words."""
        match _number(problem):
            case 1205:
                return LedgerLocked(f"{place} was held by another process for {patience:g} s; wait until it ends, or stop it, and try again")
            case 1021 | 1114 | 3675:
                return LedgerFull(f"{place}: the server has no room left; free some space there and run the same command again, nothing recorded is lost")
            case 1142 | 1143 | 1290 | 1792 | 1836 | 1044:
                said = " ".join(str(problem.args[1:]).split())
                return LedgerReadOnly(f"{place} may not be written or read ({said}); ask for the right to, or open it with read_only=True")
            case 1045 | 1698:
                return LedgerError(f"{place}: the server refused the user or the password; check both in the URL, where an @ in the password is written %40")
            case 1049:
                return LedgerError(f"{place}: there is no such database on this server; create it (CREATE DATABASE), or correct the URL")
            case 1040 | 1203:
                return LedgerError(f"{place}: the server takes no more connections, and every worker needs one; raise max_connections")
            case 1153:
                return LedgerError(f"{place}: a fact is longer than the server allows; raise max_allowed_packet, or put what is large as a blob")
        return None


_LOST = (1053, 1152, 1927, 2002, 2003, 2006, 2013, 2055, 4031)


def _number(problem: BaseException) -> int:
    return problem.args[0] if problem.args and isinstance(problem.args[0], int) else 0
