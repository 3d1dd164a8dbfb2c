"""Real servers, each started once for all tests that need it, in a folder of its own and reachable by a socket in it only."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

_PLACES = ["/usr/lib/postgresql/*/bin", "/usr/sbin", "/usr/local/pgsql/bin", "/usr/libexec", "/usr/bin"]


class Server:
    """A server under test.

    Args:
        command: runs it in the foreground.
        user: to run it as; a server refuses to run as root.
        url: of a database in it, with {} for its name.
        first: a database that is always there.
        socket: appears when it runs.
        stop: the signal that ends it, whoever is connected.
    """

    def __init__(self, command: list[str], user: dict[str, Any], url: str, first: str, socket: Path, stop: int) -> None:
        self._command, self._user, self.url, self._first, self._socket, self._stop = command, user, url, first, socket, stop
        self._folder = socket.parent
        self._numbers = itertools.count()
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._folder, **self._user)
        deadline = time.monotonic() + 60
        while True:
            with suppress(DBAPIError):
                if self._socket.exists():
                    return self.run("SELECT 1")
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        self._process.send_signal(self._stop)
        self._process.wait()

    def crash(self) -> None:
        """End it without a word to those who are connected, and without writing anything more (PostgreSQL)."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def listen(self, address: str) -> None:
        """Start it again so that it is reached at an address of a network of tests too; empty for the socket alone (PostgreSQL)."""
        with (self._folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        self.stop()
        self._command[self._command.index("-h") + 1] = address
        self.start()

    def run(self, *statements: str, database: str | None = None) -> None:
        engine = create_engine(self.sqlalchemy_url(database or self._first), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def sqlalchemy_url(self, database: str) -> str:
        return self.url.format(database).replace("postgresql://", "postgresql+psycopg://").replace("mysql://", "mysql+pymysql://")

    def new(self) -> str:
        """The URL of a new database."""
        name = f"d{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url.format(name)


def _program(name: str) -> str:
    found = [str(path) for place in _PLACES for path in sorted(Path("/").glob(f"{place[1:]}/{name}"), reverse=True)]
    program = next(iter(found), None) or shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed; on Debian: apt-get install postgresql mariadb-server")
    return program


def _as_user(user: str) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    try:
        return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    except KeyError:
        pytest.skip(f"tests run as root, and there is no user {user!r} to run the server as")


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Callable[[str], Path]]:
    """Folders with short names, as a socket's path must be, that belong to a user."""
    made = []

    def make(user: str) -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="staytuned-", dir="/tmp")))
        if os.geteuid() == 0:
            shutil.chown(made[-1], user)
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server(short_folder: Callable[[str], Path]) -> Iterator[Server]:
    pytest.importorskip("psycopg")
    initdb, postgres, user = _program("initdb"), _program("postgres"), _as_user("postgres")
    folder = short_folder("postgres")
    (folder / "password").write_text("pa@ss\n")
    make = [
        initdb,
        "-D",
        str(folder / "data"),
        "-U",
        "owner",
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
        f"--pwfile={folder / 'password'}",
    ]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
    # Answers need not survive a power cut here, but workers may be many.
    options = ["-h", "", "-k", str(folder), "-c", "fsync=off", "-c", "max_connections=120"]
    url = f"postgresql://owner:pa%40ss@/{{}}?host={folder}"
    server = Server([postgres, "-D", str(folder / "data"), *options], user, url, "postgres", folder / ".s.PGSQL.5432", signal.SIGINT)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mysql_server(short_folder: Callable[[str], Path]) -> Iterator[Server]:
    pytest.importorskip("pymysql")
    install, mariadbd, user = _program("mariadb-install-db"), _program("mariadbd"), _as_user("mysql")
    folder = short_folder("mysql")
    data, socket = str(folder / "data"), str(folder / "s")
    make = [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
    options = ["--no-defaults", f"--datadir={data}", f"--socket={socket}", f"--pid-file={folder / 'pid'}", "--skip-networking"]
    options += ["--innodb-flush-log-at-trx-commit=0", "--max-connections=120"]
    server = Server([mariadbd, *options], user, f"mysql://root@localhost/{{}}?unix_socket={socket}", "mysql", folder / "s", signal.SIGTERM)
    server.run("CREATE USER owner@localhost IDENTIFIED BY 'pa@ss'", "GRANT ALL ON *.* TO owner@localhost")
    server.url = server.url.replace("root@", "owner:pa%40ss@")
    yield server
    server.stop()


@pytest.fixture(params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each server that can be had."""
    return request.getfixturevalue(f"{request.param}_server")
