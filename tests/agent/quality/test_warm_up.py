"""A fault's first frame waits for no compiler: its code is loaded with the rest."""

from __future__ import annotations

import subprocess
import sys

_JUDGE = """
import sys

from numba.core.dispatcher import Dispatcher

import ringwatch.agent.analysis
from ringwatch.agent.quality import warm_up_flags

def loaded():
    return {
        (each.py_func.__name__, str(signature))
        for name, module in list(sys.modules.items())
        if name.startswith("ringwatch.agent")
        for each in vars(module).values()
        if isinstance(each, Dispatcher)
        for signature in (*each.stats.cache_hits, *each.stats.cache_misses)
    }

warm_up_flags()
before = loaded()
assert before

from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.recall import measure_recall
from ringwatch.benchmarks.flags.stage import Scene

scene = Scene(geometry="small", sample="cubic", counts=1e6)
for name in sys.argv[1:]:
    largest = max(CASES[name].amplitudes)
    measure_recall(name, largest, scene, trials=1, seed=7, directions=1)
late = sorted(loaded() - before)
assert not late, late
"""


def test_the_first_faulty_frame_finds_its_code_loaded() -> None:
    faults = "beam centre", "one saturated pixel", "ice", "plate displaced"
    words = [sys.executable, "-W", "ignore", "-c", _JUDGE, *faults]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
