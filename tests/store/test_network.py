"""Hosts of their own that share one PostgreSQL: one is cut off for longer than its lease, and comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from staytuned.open_trial import OpenTrial
from staytuned.space.dims import Float
from staytuned.store.sql import SqlLedger
from staytuned.study import Study
from staytuned.trial import Status, Trial

pytestmark = pytest.mark.slow

LEASE = 2.0
HOSTS = ("near", "far")
BRIDGE = "10.213.77.1"


def study(url: str) -> Study:
    return Study("s", space={"x": Float(-1, 1)}, sampler="random", ledger=url, seed=1, lease=LEASE)


def on_a_host(url: str, name: str, total: int, slow: int) -> None:
    """A worker whose scores tell its name. Trial number ``slow`` takes until it is sent a line."""
    value = float(HOSTS.index(name) + 1)

    def objective(trial: OpenTrial) -> float:
        if trial.number == slow:
            print("slow trial begun", flush=True)
            sys.stdin.readline()
        time.sleep(0.02)
        return value

    def acknowledged(trial: Trial) -> None:
        print("told", trial.number, trial.scores["loss"], flush=True)

    study(url).optimize(objective, total=total, on_trial=acknowledged)
    print("ended", flush=True)


class Network:
    """A bridge, and a network namespace for each host that hangs on it by a cable."""

    def __init__(self) -> None:
        self._names = {host: f"st{os.getpid() % 10_000}{host[0]}" for host in HOSTS}
        self._bridge = f"stb{os.getpid() % 10_000}"
        try:
            self._ip(f"link add {self._bridge} type bridge", f"addr add {BRIDGE}/24 dev {self._bridge}", f"link set {self._bridge} up")
            for place, name in enumerate(self._names.values(), 2):
                self._ip(f"netns add {name}", f"link add {name}0 type veth peer name {name}1", f"link set {name}1 netns {name}")
                self._ip(f"link set {name}0 master {self._bridge}", f"link set {name}0 up")
                self._ip(f"-n {name} addr add 10.213.77.{place}/24 dev {name}1", f"-n {name} link set {name}1 up", f"-n {name} link set lo up")
        except subprocess.CalledProcessError as problem:
            self.close()
            pytest.skip(f"no network namespaces can be made here: {problem.stderr.decode().strip()}")

    def _ip(self, *commands: str) -> None:
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True, capture_output=True)

    def plug(self, host: str, state: str) -> None:
        """Put the host's cable in ("up") or pull it out ("down")."""
        self._ip(f"link set {self._names[host]}0 {state}")

    def begin(self, host: str, *arguments: str) -> subprocess.Popen[str]:
        """This file as a worker on a host, with a host name of its own: nobody can look whether its process lives."""
        inside = f"hostname {host}; exec {sys.executable} {__file__} {' '.join(arguments)}"
        command = ["ip", "netns", "exec", self._names[host], "unshare", "--uts", "sh", "-c", inside]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=Path(__file__).parent)

    def close(self) -> None:
        for command in [f"link del {self._bridge}", *(f"netns del {name}" for name in self._names.values())]:
            with suppress(subprocess.CalledProcessError):
                self._ip(command)


@pytest.fixture
def network() -> Iterator[Network]:
    if os.geteuid() != 0 or any(shutil.which(program) is None for program in ("ip", "unshare", "hostname")):
        pytest.skip("network namespaces need root, and the programs ip (iproute2), unshare and hostname")
    made = Network()
    yield made
    made.close()


def told(url: str) -> list[Trial]:
    return [trial for trial in Study("s", ledger=SqlLedger(url)).trials if trial.status is not Status.RUNNING]


@pytest.fixture
def url(postgresql_server, network: Network) -> Iterator[str]:  # noqa: ARG001 - the address is the network's
    """A new database, by the address that all hosts see."""
    postgresql_server.listen(BRIDGE)
    local = postgresql_server.new()
    yield f"{local.split('?')[0].replace('@/', f'@{BRIDGE}/')}"
    postgresql_server.listen("")


def test_a_host_that_is_cut_off_loses_its_trial_and_goes_on_when_it_is_back(url: str, network: Network) -> None:
    study(url)
    far = network.begin("far", url, "far", "60", "3")
    assert far.stdout is not None
    assert far.stdin is not None
    before = []
    while (line := far.stdout.readline().split()) != ["slow", "trial", "begun"]:
        before.append(line)
    network.plug("far", "down")
    near = network.begin("near", url, "near", "30", "-1")
    out, _ = near.communicate(timeout=120)
    assert "ended" in out, "30 trials were told, the one of the host that was cut off among them"
    assert {trial.number for trial in told(url)} == set(range(30))
    assert told(url)[3].scores == {"loss": 1.0}
    time.sleep(LEASE)
    far.stdin.write("\n")
    far.stdin.flush()  # its trial ends while it is cut off
    time.sleep(1)
    assert told(url)[3].scores == {"loss": 1.0}
    network.plug("far", "up")
    out, _ = far.communicate(timeout=120)
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["told", "3", "1.0"], "the late word changes nothing, and it gets to know the first"
    assert lines[-1] == ["ended"]
    trials = told(url)
    assert [trial.number for trial in trials] == list(range(60))
    assert [trial.scores["loss"] for trial in trials] == [2.0] * 3 + [1.0] * 27 + [2.0] * 30
    kinds = [fact.kind for fact in SqlLedger(url).read("study/s")]
    assert (kinds.count("asked"), kinds.count("told"), kinds.count("taken")) == (60, 60, 1)


if __name__ == "__main__":
    on_a_host(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
