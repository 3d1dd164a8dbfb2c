"""From a finished run to a version in the registry, with everything a steward needs to look after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from staytuned.automl.columns import Table
from staytuned.automl.result import Result
from staytuned.monitor.watch import Reference, reference_of
from staytuned.protocols import Ledger
from staytuned.registry import Lineage, Registry, Version
from staytuned.space.codec import config_to_json
from staytuned.store.frames import frame_to_bytes


def keep(result: Result, training: pd.DataFrame, ledger: Ledger) -> Version:
    """Register the tuned model; the first version of a name goes into service at once.

    The training table is kept as a blob, so that the model can be retrained; the promise the monitor holds the model to comes from the test part.

    Args:
        result: of the run.
        training: the rows the model was fitted on, the target among the columns.
        ledger: where the study is, usually.
    """
    table, tuned, test = result.table, result.tuned, result.test
    inputs = training[[column.name for column in table.used]]
    reference = reference_of(inputs, result.y_test, result.prediction, task=table.task, metric=result.metric.name, score=test.tuned.point)
    scores: dict[str, Any] = {"validation": tuned.score, "test": test.tuned.point}
    if tuned.honest is not None:
        scores["validation_corrected"] = tuned.honest.corrected
    if test.baseline is not None:
        scores["baseline test"] = test.baseline.point
    lineage = Lineage(
        table=ledger.put(frame_to_bytes(training)),
        rows=len(training),
        study=tuned.study.name,
        config=config_to_json(tuned.config, tuned.study.space),
        scores=scores,
    )
    reason = f"best of {len(tuned.study.trials)} trials by {result.metric.name} in {tuned.plan.folds_named}"
    return Registry(ledger).register(result.name, tuned.pipeline, lineage=lineage, manifest=manifest_of(table, reference, result.metric.name), reason=reason)


def manifest_of(table: Table, reference: Reference, metric: str) -> dict[str, Any]:
    """What the registry must know of a model for a steward to look after it, as JSON.

    Args:
        table: as inferred when it was trained.
        reference: from rows the model was neither fitted nor chosen on; its features are the columns a model uses.
        metric: what it was tuned for.
    """
    columns = [column.name for column in table.used]
    classes = [c.item() if isinstance(c, np.generic) else c for c in table.classes]
    return {"table": table.to_json(), "columns": columns, "task": table.task, "metric": metric, "classes": classes, "reference": reference.to_json()}
