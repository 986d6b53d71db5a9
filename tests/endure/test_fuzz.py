"""A million inputs, and nothing crashes, hangs or grows.

An input is one 0MQ message, one run of documents, or one file; most are real ones with
a few changes (``fuzzing/ways.py``). Each process counts them in a file as it goes.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import FULL
from .fuzzing.corpus import make_corpus
from .fuzzing.guard import EVERY, MEMORY, read_state

DRIVE = Path(__file__).with_name("fuzzing") / "drive.py"
CAN_GUIDE = importlib.util.find_spec("atheris") is not None
"""Atheris has wheels for CPython 3.11 to 3.13 on Linux (x86_64) only."""

SEED = 20261121

Part = tuple[str, str, int]
"""Target, way and inputs."""

WHOLE: tuple[Part, ...] = (
    ("wire", "torn", 200_000),
    ("wire", "drawn", 2_000),
    ("wire", "guided", 540_000),
    ("router", "torn", 140_000),
    ("router", "drawn", 2_000),
    ("router", "guided", 66_000),
    ("files", "torn", 39_000),
    ("files", "drawn", 3_000),
    ("files", "guided", 8_000),
)
SHORT: tuple[Part, ...] = (
    ("wire", "torn", 13_000),
    ("wire", "drawn", 100),
    ("router", "torn", 2_900),
    ("router", "drawn", 100),
    ("files", "torn", 800),
    ("files", "drawn", 100),
    ("any", "guided", 3_000),
)


def parts() -> list[Part]:
    """What is to be done; where nothing can be guided, torn inputs take over."""
    chosen = list(WHOLE if FULL else SHORT)
    if CAN_GUIDE:
        return chosen
    return [
        ("router" if target == "any" else target, "torn", number)
        if way == "guided"
        else (target, way, number)
        for target, way, number in chosen
    ]


def test_the_numbers_are_those_that_were_promised() -> None:
    total = sum(number for _, _, number in parts())
    of_files = sum(number for target, _, number in parts() if target == "files")
    assert (total, of_files) == ((1_000_000, 50_000) if FULL else (20_000, 900))
    assert not any(number % EVERY for _, _, number in parts()), "the last is looked at"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder)
    return folder


def fuzz(corpus: Path, folder: Path, *chosen: Part) -> dict[str, int]:
    """Run parts in one process; what it counted."""
    told = [":".join(map(str, (*part, SEED + n))) for n, part in enumerate(chosen)]
    state = folder / "state"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(DRIVE), str(corpus), str(state), *told],
        capture_output=True,
        check=False,
        cwd=folder,
        timeout=1200,
        env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
    )
    counts = read_state(state)
    lines = (done.stderr + done.stdout).decode(errors="replace").splitlines()
    # Without what was tried: there are thousands, and they hide the traceback.
    said = "\n".join(line for line in lines if not line.startswith("#"))[-6000:]
    assert done.returncode == 0, f"{told}: input {counts['begun']} ended it:\n{said}"
    print(told, counts)
    return counts


def check(counts: dict[str, int], wanted: int) -> None:
    """All were taken, and some of both kinds: else it would show nothing."""
    assert counts["done"] == counts["begun"] == wanted
    assert counts["accepted"] + counts["refused"] == wanted
    assert min(counts["accepted"], counts["refused"]) >= wanted // 200


def processes() -> list[list[Part]]:
    """Parts that one process does; a guided one is its last, for it does not return."""
    if FULL:
        return [[part] for part in parts()]
    guided = [part for part in parts() if part[1] == "guided"]
    others = [part for part in parts() if part[1] != "guided"]
    return [others, guided] if guided else [others]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("chosen", processes(), ids=lambda c: "-".join(c[-1][:2]))
def test_fuzz(chosen: list[Part], corpus: Path, tmp_path: Path) -> None:
    check(fuzz(corpus, tmp_path, *chosen), sum(number for _, _, number in chosen))


@pytest.mark.skipif(
    not CAN_GUIDE, reason="atheris is not installed here: torn inputs take over"
)
def test_some_of_it_is_guided() -> None:
    assert sum(number for _, way, number in parts() if way == "guided") >= 3_000


HANG = """
import sys; sys.path.insert(0, {folder!r})
import guard; guard.WALL_S = 0.5
from pathlib import Path
watch = guard.Guard(Path({state!r}))
watch(lambda given: True, 0)
watch._armed = 0
watch(lambda given: {what}, 1)
"""


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("[0 for _ in iter(int, 1)]", "Timeout"),
        ("sum(range(10**9))", "Timeout"),
        ("__import__('os').abort()", ""),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_is_wrong_ends_it(what: str, told: str, tmp_path: Path) -> None:
    """A hang, also in compiled code, a crash and an error are seen, with the input."""
    state = tmp_path / "state"
    code = HANG.format(folder=str(DRIVE.parent), state=str(state), what=what)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert told in done.stderr.decode()
    counts = read_state(state)
    assert (counts["begun"], counts["done"]) == (2, 1)


LARGE = """
import sys; sys.path.insert(0, {folder!r})
import guard
from pathlib import Path
watch = guard.Guard(Path({state!r}))
watch.bound_memory()
watch(lambda given: bool(bytes(given)), {size})
"""


@pytest.mark.parametrize(("size", "fails"), [(MEMORY // 4, False), (MEMORY * 2, True)])
def test_what_grows_is_seen(size: int, fails: bool, tmp_path: Path) -> None:
    state = tmp_path / "state"
    code = LARGE.format(folder=str(DRIVE.parent), state=str(state), size=size)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert (b"MemoryError" in done.stderr) == fails == (done.returncode != 0)


def test_what_the_tests_hold_hides_nothing() -> None:
    """A process counts its own memory, not that of the one that started it."""
    held = b"\1" * MEMORY
    code = "import guard; print(guard.peak_kb())"
    path = os.environ | {"PYTHONPATH": str(DRIVE.parent)}
    said = subprocess.check_output([sys.executable, "-c", code], env=path, timeout=60)
    assert 1_000 < int(said) < len(held) // 2048
