"""How much of their time do many workers spend on trials?

    python benchmarks/execute/efficiency.py --write
    python benchmarks/execute/efficiency.py --only threads --workers 4 --trials 8 --seconds 0.1

Every trial sleeps, so that as many workers as one likes fit on one machine. Efficiency is the time that the trials would take on workers that never
wait, (trials / workers) times the seconds of one, over the wall-clock time of ``Study.optimize``. The workers have run one trial each before, and so
have loaded what it needs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import ground  # noqa: F401
from provenance import RESULTS, markdown, provenance, stored, written

from staytuned.execute.processes import ProcessExecutor
from staytuned.open_trial import OpenTrial
from staytuned.space.dims import Choice, Float, Int
from staytuned.study import Study

SPACE: Mapping[str, Any] = {"rate": Float(1e-4, 1, log=True), "depth": Int(1, 12), "share": Float(0, 1), "kind": Choice(["a", "b", "c"])}


@contextmanager
def dask(workers: int, processes: int) -> Iterator[Executor]:
    """``workers`` threads of a local Dask cluster, in so many processes."""
    from dask.distributed import Client, LocalCluster

    threads = workers // processes
    with LocalCluster(n_workers=processes, threads_per_worker=threads, processes=True, dashboard_address=None) as cluster, Client(cluster) as client:
        client.wait_for_workers(processes)
        yield client.get_executor()


@contextmanager
def ray(workers: int) -> Iterator[Executor]:
    """A local Ray cluster that believes it has so many processors."""
    import ray

    from staytuned.execute.ray import RayExecutor

    ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        with RayExecutor() as executor:
            yield executor
    finally:
        ray.shutdown()


EXECUTORS: Mapping[str, Callable[[int], Any]] = {
    "threads": ThreadPoolExecutor,
    "staytuned's processes": ProcessExecutor,
    "Dask, threads of 2 processes": lambda workers: dask(workers, 2),
    "Dask, processes": lambda workers: dask(workers, workers),
    "Ray": ray,
}


def slept(trial: OpenTrial, seconds: float) -> float:
    """A trial's loss after so many seconds."""
    time.sleep(seconds)
    config = trial.config
    return (config["share"] - 0.3) ** 2 + abs(config["depth"] - 6) / 10 + config["rate"] + (config["kind"] != "b")


def measured(executor: Executor, workers: int, trials: int, seconds: float, sampler: str) -> dict[str, Any]:
    """One study on an executor whose workers are warm."""
    study = Study(space=SPACE, sampler=sampler, seed=0)
    begun, cpu = time.perf_counter(), time.process_time()
    study.optimize(partial(slept, seconds=seconds), trials=trials, executor=executor)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    assert all(trial.status == "done" for trial in study.trials)
    return {"sampler": sampler, "wall": wall, "cpu": cpu, "efficiency": trials / workers * seconds / wall}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(EXECUTORS), choices=list(EXECUTORS), metavar="EXECUTOR", help=", ".join(EXECUTORS))
    parser.add_argument("--samplers", nargs="+", default=["random", "auto"])
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--trials", type=int, default=160)
    parser.add_argument("--seconds", type=float, default=1.0, help="that a trial sleeps")
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    options = parser.parse_args(arguments)
    rows = []
    for name in options.only:
        with EXECUTORS[name](options.workers) as executor:
            Study(space=SPACE, sampler="random", seed=1).optimize(partial(slept, seconds=1.0), trials=options.workers, executor=executor)
            for sampler in options.samplers:
                rows.append({"executor": name} | measured(executor, options.workers, options.trials, options.seconds, sampler))
                print(f"{name}, {sampler}: {rows[-1]['efficiency']:.1%} of {options.workers} workers' time was spent on trials", flush=True)
    made = provenance("execute/efficiency.py", arguments)
    headers = ["executor", "sampler", "wall s", "this process's CPU s", "efficiency"]
    cells = [[r["executor"], r["sampler"], f"{r['wall']:.2f}", f"{r['cpu']:.2f}", f"{r['efficiency']:.1%}"] for r in rows]
    said = f"{options.trials} trials of {options.seconds:g} s on {options.workers} workers."
    text = f"{written(made)}\n\n{said}\n\n{markdown(headers, cells)}"
    print(text)
    if options.write:
        body = {"made": made, "workers": options.workers, "trials": options.trials, "seconds": options.seconds, "rows": rows}
        stored(RESULTS, "parallel", body, f"# How much of their time many workers spend on trials\n\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
