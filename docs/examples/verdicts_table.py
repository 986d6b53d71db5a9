"""Verdicts of a run, from Tiled into a pandas table.

    TILED_API_KEY=... python verdicts_table.py http://127.0.0.1:8000 RUN_UID out.csv

Needs tiled and pandas, and nothing of Ringwatch.
"""

import os
import sys

import pandas as pd
from tiled.client import from_uri
from tiled.queries import Key

COLUMNS = ("raw_index", "raw_seq_num", "verdict", "reason", "primary_flag", "label",
           "label_prob", "beam_center_dx_px", "radial_scale_ppm")  # fmt: skip


def verdicts(uri, raw_uid, *, columns=COLUMNS, stream="primary", container="analysis"):
    """The final verdict of each frame of a raw run, by the newest pass over it."""
    client = from_uri(uri, api_key=os.environ.get("TILED_API_KEY"))
    passes = client[container].search(Key("raw_uid") == raw_uid).values()
    tables = []
    # A later pass may hold only the frames that an earlier one left open.
    for run in sorted(passes, key=lambda run: run.metadata["start"]["attempt"]):
        if stream in run:
            table = pd.DataFrame({c: run[stream][c].read() for c in columns})
            tables.append(table[run[stream]["final"].read().astype(bool)])
    if not tables:
        raise LookupError(f"no verdicts on run {raw_uid} in {container!r} of {uri}")
    found = pd.concat(tables).drop_duplicates("raw_index", keep="last")
    return found.sort_values("raw_index", ignore_index=True)


if __name__ == "__main__":
    table = verdicts(sys.argv[1], sys.argv[2])
    print(table.to_string(max_colwidth=60))
    print(table["verdict"].value_counts().to_string())
    if len(sys.argv) > 3:
        table.to_csv(sys.argv[3], index=False)
