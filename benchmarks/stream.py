"""The whole loop on a real stream, block by block: is the tended model better than the one that was left alone?

AutoML tunes on the first fifth in order of time and the model is kept. Then, for each block: every model predicts it; only then its
labels arrive, and the steward watches and tends. So every score is of rows whose labels nobody had seen (test, then train).

    python benchmarks/stream.py --data elec2
    python benchmarks/stream.py --data bike_sharing_hourly
    python benchmarks/stream.py --data sales.parquet --target sold --time-column day --block 200 --metric mae
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time as clock
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from provenance import RESULTS, data_set, markdown, provenance, stored, written

from staytuned.automl.automl import AutoML
from staytuned.automl.read import read_table
from staytuned.automl.recipe import Said, fit_config
from staytuned.challenger import retune_by_recipe
from staytuned.monitor.performance import Prediction, score
from staytuned.policy import PolicySettings
from staytuned.steward import Steward, StewardSettings, Tended
from staytuned.store.open import open_ledger

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Stream:
    """How a known stream is read.

    Args:
        drop: columns that are a time stamp: every later value is one the model has never seen, so that nothing learned from it can hold later.
    """

    target: str
    time_column: str
    block: int
    metric: str
    drop: tuple[str, ...]


STREAMS = {
    "elec2": Stream("class", "t", 500, "accuracy", ("t", "date")),  # date is the day, counted from the first and divided by the last
    "bike_sharing_hourly": Stream("cnt", "time", 336, "mae", ("time",)),  # two weeks of hours
}


@dataclass(frozen=True)
class Block:
    """One line of the story. ``scores`` by model, in the metric's own direction."""

    number: int
    rows: int
    scores: Mapping[str, float]
    auc: Mapping[str, float]
    version: int
    harm: str
    actions: Sequence[str]
    said: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _options(words)
    began = clock.monotonic()
    frame, stream, name = _read(options)
    first = round(options.first * len(frame))
    made = provenance("stream.py", words)
    with tempfile.TemporaryDirectory() as folder:
        ledger = f"{options.ledger or folder}/{name}.db"
        print(f"{name}: tuning on the first {first:,} of {len(frame):,} rows", flush=True)
        model = _tuned(frame[:first], stream, ledger, name, options)
        tuned_after = clock.monotonic() - began
        settings = _settings(options.set)
        steward = Steward(ledger, name, settings=settings, retune=_retune(ledger, options), trust_pickle=True)
        others = {"static": _static(model)} | (_refitted(model, options.refit_rows) if options.refit else {})
        blocks: list[Block] = []
        for number, start in enumerate(range(first, len(frame), stream.block)):
            if options.blocks is not None and number >= options.blocks:
                break
            blocks.append(_lived(number + 1, frame, start, stream, steward, others, model))
            if number % 20 == 0:
                print(_header(blocks[0]), flush=True)
            print(_line(blocks[-1]), flush=True)
        story = [f"{event.kind}: {event.sentence}" for event in steward.history() if event.kind not in ("watched",)]
    body = {
        "provenance": made,
        "data": name,
        "rows": len(frame),
        "tuned on": first,
        "stream": asdict(stream),
        "settings": asdict(settings),
        "test score": model.result_.test.tuned.point,
        "seconds": {"tuning": tuned_after, "all": clock.monotonic() - began},
        "means": _means(blocks),
        "actions": dict(Counter(action for block in blocks for action in block.actions)),
        "blocks": [asdict(block) for block in blocks],
        "story": story,
    }
    print(f"\n{_summary(body, stream)}")
    if not options.no_store:
        stored(options.results, f"stream-{name}", body, _page(body, stream, blocks))


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stream.py", description="The whole loop on a real stream, block by block.")
    parser.add_argument("--data", required=True, help=f"{', '.join(STREAMS)}, or the path of a table in order of time")
    parser.add_argument("--target", help="column to predict")
    parser.add_argument("--time-column", help="column that orders the rows; no feature")
    parser.add_argument("--drop", action="append", help="another column that is no feature; may be repeated")
    parser.add_argument("--kind", action="append", default=[], metavar="COLUMN=KIND", help="where the inferred kind is wrong; may be repeated")
    parser.add_argument("--block", type=int, help="rows whose labels arrive together")
    parser.add_argument("--blocks", type=int, help="stop after so many")
    parser.add_argument("--metric", help="by scikit-learn's name")
    parser.add_argument("--first", type=float, default=0.2, help="share of the rows to tune on")
    parser.add_argument("--time", type=float, default=60, help="seconds for the first tuning, and for each retuning")
    parser.add_argument("--trials", type=int, help="configs for the first tuning instead, without a limit of time")
    parser.add_argument("--retune-trials", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a steward's setting, or policy.NAME=VALUE; may be repeated")
    parser.add_argument("--refit", action="store_true", help="also score the same config refitted after every block: on all rows, and on the latest")
    parser.add_argument("--refit-rows", type=int, default=2500, help="how many the latest are")
    parser.add_argument("--ledger", help="folder to keep the ledger in")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--no-store", action="store_true", help="print only")
    return parser.parse_args(words)


def _read(options: argparse.Namespace) -> tuple[pd.DataFrame, Stream, str]:
    known = STREAMS.get(options.data)
    if known is None and not (options.target and options.time_column):
        sys.exit("a stream of your own needs --target and --time-column")
    stream = known or Stream(options.target, options.time_column, 500, "auto", (options.time_column,))
    path = data_set(options.data)[0] if known else Path(options.data)
    stream = replace(
        stream,
        target=options.target or stream.target,
        time_column=options.time_column or stream.time_column,
        block=options.block or stream.block,
        metric=options.metric or stream.metric,
        drop=(*stream.drop, *(options.drop or ())),
    )
    frame = read_table(path).sort_values(stream.time_column, kind="stable").reset_index(drop=True)
    return frame, stream, path.stem


def _tuned(frame: pd.DataFrame, stream: Stream, ledger: str, name: str, options: argparse.Namespace) -> AutoML:
    model = AutoML(
        time=None if options.trials else options.time,
        trials=options.trials,
        metric=stream.metric,
        n_jobs=options.jobs,
        random_state=options.seed,
        drop=stream.drop,
        kinds=dict(pair.split("=") for pair in options.kind),
        ledger=ledger,
        name=name,
        on_event=lambda event: print(f"  {event.step}: {event.text}", flush=True) if isinstance(event, Said) else None,
    ).fit(frame, target=stream.target, time_order=stream.time_column)
    model.keep()
    return model


def _settings(pairs: Sequence[str]) -> StewardSettings:
    values = {key: json.loads(value) for key, _, value in (pair.partition("=") for pair in pairs)}
    policy = {key.removeprefix("policy."): value for key, value in values.items() if key.startswith("policy.")}
    return StewardSettings(policy=PolicySettings(**policy), **{key: value for key, value in values.items() if not key.startswith("policy.")})


def _retune(ledger: str, options: argparse.Namespace) -> Any:
    return retune_by_recipe(open_ledger(ledger), trials=options.retune_trials, seconds=options.time, n_jobs=options.jobs)


Model = Callable[[pd.DataFrame, int], Prediction]
"""(table, first row to predict) -> what is said of it and the rows after it; ``table`` ends with the block."""


def _static(model: AutoML) -> Model:
    return lambda table, start: _said(model.model_, table[start:], model.table_.classes)


def _refitted(model: AutoML, latest: int) -> dict[str, Model]:
    """The same config, refitted before every block on everything that is labelled by then, and on the latest rows of it."""

    def refit(rows: int | None) -> Model:
        def say(table: pd.DataFrame, start: int) -> Prediction:
            past = table[0 if rows is None else max(0, start - rows) : start]
            columns = [column.name for column in model.table_.used]
            fitted = fit_config(model.best_.config, past[columns], past[model.table_.target].to_numpy(), model.table_, seed=model.best_.seed)
            return _said(fitted, table[start:], model.table_.classes)

        return say

    return {"refit, all rows": refit(None), f"refit, last {latest:,}": refit(latest)}


def _said(pipeline: Any, rows: pd.DataFrame, classes: Sequence[Any]) -> Prediction:
    if not classes:
        return Prediction(np.asarray(pipeline.predict(rows), dtype=float))
    probabilities = np.zeros((len(rows), len(classes)))
    probabilities[:, [classes.index(name) for name in pipeline.classes_.tolist()]] = pipeline.predict_proba(rows)
    return Prediction(np.asarray(classes)[probabilities.argmax(axis=1)], probabilities, classes)


def _lived(number: int, frame: pd.DataFrame, start: int, stream: Stream, steward: Steward, others: Mapping[str, Model], model: AutoML) -> Block:
    """One block, in the order in which things happen: predictions first, labels afterwards."""
    table = frame[: start + stream.block]
    block = table[start:]
    features = block.drop(columns=stream.target)
    began = clock.monotonic()
    said = steward.predict(features)
    seconds = clock.monotonic() - began
    predictions = {name: other(table, start) for name, other in others.items()} | {"tended": said.prediction}
    labels = block[stream.target].to_numpy()
    began = clock.monotonic()
    health = steward.watch(block)
    tended = steward.tend()
    seconds += clock.monotonic() - began
    before, classes = frame[stream.target].to_numpy()[start - 1 : start + len(block) - 1], said.prediction.classes
    predictions["previous label"] = Prediction(before, None, classes)
    predictions["block's last label"] = Prediction(np.full_like(before, before[0]), None, classes)
    metric = model.result_.metric.name
    return Block(
        number,
        len(block),
        {name: score(metric, labels, one) for name, one in predictions.items()},
        {name: score("roc_auc", labels, one) for name, one in predictions.items() if len(classes) == 2 and one.probabilities is not None},
        said.version,
        health.harm,
        _acted(tended),
        tended.sentence,
        seconds,
    )


def _acted(tended: Tended) -> list[str]:
    return [str(step.action) for step in tended.steps if step.action != "keep"]


def _means(blocks: Sequence[Block]) -> dict[str, dict[str, float]]:
    """Over all blocks: the metric weighted by rows, which for accuracy and mae is the one over all rows; AUC where both classes came."""
    weights = [block.rows for block in blocks]
    means = {"metric": {name: float(np.average([block.scores[name] for block in blocks], weights=weights)) for name in blocks[0].scores}}
    if blocks[0].auc:
        means["roc_auc"] = {name: float(np.nanmean([block.auc[name] for block in blocks])) for name in blocks[0].auc}
    return means


def _header(block: Block) -> str:
    names = "".join(f"{name:>19}" for name in (*block.scores, *(f"auc {name}" for name in block.auc)))
    return f"{'block':>5} {'rows':>5}{names} {'version':>8}  {'health':13} {'s':>6}  action"


def _line(block: Block) -> str:
    numbers = "".join(f"{value:>19}" for value in _numbers(block))
    return f"{block.number:5} {block.rows:5}{numbers} {block.version:8}  {block.harm:13} {block.seconds:6.1f}  {', '.join(block.actions)}"


def _summary(body: Mapping[str, Any], stream: Stream) -> str:
    means = body["means"]
    rows = [
        [name, f"{value:.4f}", *([f"{means['roc_auc'][name]:.4f}" if name in means["roc_auc"] else ""] if "roc_auc" in means else [])]
        for name, value in means["metric"].items()
    ]
    headers = ["model", f"mean {stream.metric}", *(["mean AUC"] if "roc_auc" in means else [])]
    actions = ", ".join(f"{action} {count}" for action, count in sorted(body["actions"].items())) or "none"
    slowest = max(block["seconds"] for block in body["blocks"])
    seconds = f"{body['seconds']['all']:.0f} s in all, {body['seconds']['tuning']:.0f} s of them for the first tuning, {slowest:.0f} s for the slowest block"
    return f"{markdown(headers, rows)}\n\nActions in {len(body['blocks'])} blocks: {actions}. {seconds}."


def _page(body: Mapping[str, Any], stream: Stream, blocks: Sequence[Block]) -> str:
    headers = ["block", "rows", *blocks[0].scores, *(f"AUC {name}" for name in blocks[0].auc), "version", "health", "seconds", "action"]
    rows = [[str(b.number), str(b.rows), *_numbers(b), str(b.version), b.harm, f"{b.seconds:.1f}", ", ".join(b.actions)] for b in blocks]
    parts = [
        f"# {body['data']}",
        f"`{written(body['provenance'])}`",
        f"Tuned on the first {body['tuned on']:,} of {body['rows']:,} rows without {', '.join(stream.drop)}; then blocks of {stream.block:,} rows, "
        f"predicted before their labels are seen by anyone. The metric is {stream.metric}.",
        _summary(body, stream),
        markdown(headers, rows),
        "## The story",
        "\n".join(f"- {line}" for line in body["story"]),
    ]
    return "\n\n".join(parts)


def _numbers(block: Block) -> list[str]:
    return [f"{value:.4f}" for value in (*block.scores.values(), *block.auc.values())]


if __name__ == "__main__":
    main()
