"""Apache Parquet: a column a lead, for data frames and databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.writers.json import record_as_dict

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

METADATA_KEY = "ecg_trt"


def write_parquet(record: EcgRecord, path: str | Path) -> Path:
    """Write ``time_s`` (float64) and one float32 column a lead, mV, null where NaN.

    The file's metadata hold all but the samples, as the JSON has it, under the key `METADATA_KEY`.

    Arguments, result and errors are those of `Writer.write`.
    """
    import pyarrow
    from pyarrow import parquet

    path = Path(path)
    times = np.arange(record.signal_mv.shape[1]) / record.fs
    leads = [pyarrow.array(row, mask=~np.isfinite(row)) for row in record.signal_mv]
    table = pyarrow.Table.from_arrays([pyarrow.array(times), *leads], names=["time_s", *record.lead_names])
    text = json.dumps(record_as_dict(record, names_files=False), ensure_ascii=False, allow_nan=False)
    metadata = {METADATA_KEY: text.encode("utf-8", "backslashreplace")}
    with atomic_path(path) as temporary:
        parquet.write_table(table.replace_schema_metadata(metadata), temporary)
    return path
