"""Tables as bytes and back, for blobs: Parquet, whatever a column holds."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pyarrow as pa


def frame_to_bytes(frame: pd.DataFrame) -> bytes:
    """The table as Parquet, its index left out. The same table gives the same bytes under the same pandas and pyarrow.

    A column of mixed types, which Parquet cannot hold, is written as text; missing values stay missing.
    """
    frame = frame.reset_index(drop=True)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    return _written(frame.assign(**{name: _as_text(frame[name]) for name in frame.columns if not _fits(frame[[name]])}))


def frame_from_bytes(blob: bytes) -> pd.DataFrame:
    """The table written by :func:`frame_to_bytes`."""
    return pd.read_parquet(io.BytesIO(blob))


def _written(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def _fits(column: pd.DataFrame) -> bool:
    name = column.columns[0]
    if column[name].dtype != object:
        return True
    try:
        pa.array(column[name], from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return False
    return True


def _as_text(series: pd.Series[Any]) -> pd.Series[Any]:
    texts = [None if missing else str(value) for value, missing in zip(series, series.isna(), strict=True)]
    return pd.Series(texts, index=series.index, dtype=object)
