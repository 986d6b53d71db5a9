"""Three targets and the ways to make inputs for each.

``torn``: real ones changed at random, by a seed: thousands a second. ``drawn``: made by
hypothesis from nothing. ``guided``: real ones changed by atheris, which looks at the
code that they reach; that way ends the process.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

try:
    import atheris
except ImportError:  # there are wheels for few platforms
    atheris = None

# The guided way sees the branches of these; they must be imported here first.
LOOKED_INTO = [
    "ringwatch.agent.announced_assets",
    "ringwatch.agent.assets",
    "ringwatch.agent.document_bounds",
    "ringwatch.agent.documents",
    "ringwatch.agent.files.edf_images",
    "ringwatch.agent.files.image_names",
    "ringwatch.agent.files.patterns",
    "ringwatch.agent.files.pattern_axes",
    "ringwatch.agent.sources.audit",
    "ringwatch.agent.streams",
    "ringwatch.agent.files.whole_images",
    "ringwatch.agent.wire.messages",
]


COMPILED = ["ringwatch.agent.files.block_headers", "ringwatch.agent.wire.scan"]
"""By numba, which cannot take what atheris puts in."""


def _instrumented() -> AbstractContextManager[Any]:
    if atheris is None or not any(":guided:" in part for part in sys.argv):
        return nullcontext()
    return atheris.instrument_imports(include=LOOKED_INTO, exclude=COMPILED)


with _instrumented():
    import wire_inputs
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st
    from readers import ReadersCheck, torn_file
    from router import ODD, Below, RouterCheck, Run, read_runs, torn_run
    from tiffs import drawn_tiff

Inputs = Iterator[Any]
HINT = 4096
"""Bytes that atheris may use for an input."""


class Target:
    """Something that takes inputs, and the ways to make them.

    Parameters
    ----------
    check : callable
        Takes one input; says whether it was accepted whole.
    make : callable
        Makes a torn one of a chooser of numbers.
    strategy : hypothesis strategy
    warm : list
        Inputs that load and compile all that is needed.
    from_bytes : callable, optional
        Makes an input of a fuzzer's bytes; by default they choose the numbers.
    corpus : list of bytes
        From which the guided way starts.
    """

    def __init__(
        self,
        check: Callable[[Any], bool],
        make: Callable[[Below], Any],
        strategy: st.SearchStrategy[Any],
        *,
        warm: list[Any],
        from_bytes: Callable[[bytes], Any] | None = None,
        corpus: list[bytes] | None = None,
    ) -> None:
        self.check, self.corpus = check, corpus or []
        self._make, self._strategy, self._warm = make, strategy, warm
        self.from_bytes = from_bytes or (lambda data: make(chooser(data)))

    def warm_up(self) -> None:
        """Take what is known to be good, and let hypothesis make its tables."""
        for given_input in self._warm:
            self.check(given_input)
        self._drawn(3, 0, lambda check, drawn: check(drawn))

    def run(self, way: str, runs: int, number: int, guard: Any) -> None:
        """Take ``runs`` inputs."""
        {"torn": self._torn, "drawn": self._drawn, "guided": self._guided}[way](
            runs, number, guard
        )

    def _torn(self, runs: int, number: int, guard: Any) -> None:
        rng = random.Random(number).random
        for _ in range(runs):
            guard(self.check, self._make(lambda n: int(rng() * n)))

    def _drawn(self, runs: int, number: int, guard: Any) -> None:
        @seed(number)
        @settings(
            max_examples=runs,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(self._strategy)
        def take(drawn: Any) -> None:
            guard(self.check, drawn)

        take()

    def _guided(self, runs: int, number: int, guard: Any) -> None:
        corpus = Path.cwd() / "corpus"
        corpus.mkdir()
        for place, data in enumerate(self.corpus):
            (corpus / str(place)).write_bytes(data)
        options = [
            f"-runs={runs}",
            f"-seed={number}",
            f"-max_len={HINT}",
            "-rss_limit_mb=0",  # of ru_maxrss; the guard has a better measure
        ]
        atheris.Setup(
            [sys.argv[0], *options, "-print_final_stats=1", str(corpus)],
            lambda data: guard(self.check, self.from_bytes(data)),
        )
        atheris.Fuzz()


def chooser(data: bytes) -> Below:
    """Numbers out of bytes, two for each; zeros when they are used up."""
    at = 0

    def below(n: int) -> int:
        nonlocal at
        pair = data[at : at + 2]
        at += 2
        return int.from_bytes(pair, "little") % n

    return below


def targets(folder: Path) -> dict[str, Target]:
    """All of them; ``folder`` was made by ``corpus``."""
    runs = read_runs(folder)
    router = RouterCheck(runs[0], folder / "files")
    found = {
        "wire": _wire(runs, router),
        "router": Target(
            router,
            lambda below: torn_run(runs, below),
            _drawn_runs(runs),
            warm=runs,
            corpus=[random.Random(n).randbytes(64) for n in range(16)],
        ),
        "files": _files(folder),
    }
    return found | {"any": _any(list(found.values()))}


def _any(targets: list[Target]) -> Target:
    """All of them at once: the first byte chooses."""

    def from_bytes(data: bytes) -> tuple[Target, Any]:
        target = targets[data[0] % len(targets) if data else 0]
        return target, target.from_bytes(data[1:])

    return Target(
        lambda chosen: chosen[0].check(chosen[1]),
        lambda below: from_bytes(bytes(below(256) for _ in range(99))),
        st.binary().map(from_bytes),
        warm=[],
        from_bytes=from_bytes,
        corpus=[bytes([n]) + c for n, t in enumerate(targets) for c in t.corpus],
    )


def _wire(runs: list[Run], router: RouterCheck) -> Target:
    """Messages; what can be read goes on to the router, in the middle of a run."""
    rough = wire_inputs.rough_messages
    streams = {}

    def make(below: Below) -> bytes:
        # One generator a process: it has a seed of its own, taken from ours.
        if not streams:
            streams["rough"] = rough(below(1 << 30))
        return next(streams["rough"])

    def check(message: bytes) -> bool:
        found = wire_inputs.read(message)
        if found is None:
            return False
        router([*runs[2][:4], found, *runs[2][4:]])
        return True

    honest = [
        wire_inputs.packed(name, doc) for run in runs for name, doc in run
    ] + wire_inputs.honest_messages()
    return Target(
        check,
        make,
        wire_inputs.messages(),
        warm=honest,
        from_bytes=lambda data: data,
        corpus=honest,
    )


def _drawn_runs(runs: list[Run]) -> st.SearchStrategy[Run]:
    """Documents with the fields that their kind has, in any order, with odd values."""
    texts = st.sampled_from(["a", "b", "det_image", "primary", "", "x" * 400])
    values = st.sampled_from(ODD) | wire_inputs.plain() | texts
    kinds = {name: doc for run in runs for name, doc in run}

    def like(name: str) -> st.SearchStrategy[tuple[str, Any]]:
        fields = {
            key: texts if isinstance(value, str) else st.just(value) | values
            for key, value in kinds[name].items()
        }
        return st.tuples(st.just(name), st.fixed_dictionaries({}, optional=fields))

    real = st.sampled_from([pair for run in runs for pair in run])
    kind = st.sampled_from(sorted(kinds)).flatmap(like)
    return st.lists(real | kind, min_size=1, max_size=12)


def _files(folder: Path) -> Target:
    places = [p for p in sorted((folder / "files").iterdir()) if "uid" not in p.name]
    files = [(f"torn{''.join(p.suffixes)}", p.read_bytes()) for p in places]
    whole = [content for _, content in files]
    kinds = [
        [f for f in files if f[0].endswith(".h5")],
        [f for f in files if f[0].rstrip(".gz").endswith((".tif", ".cbf", ".edf"))],
        [f for f in files if f[0].rstrip(".gz").endswith((".xy", ".chi", ".dat"))],
        [f for f in files if f[0].endswith((".npy", ".csv"))],
    ]

    def make(below: Below) -> tuple[str, bytes]:
        chosen = below(len(kinds) + 1)
        if chosen == len(kinds):
            return "drawn.tif", drawn_tiff(below)
        kind = kinds[chosen]
        name, content = kind[below(len(kind))]
        return name, torn_file(content, whole, below)

    numbers = st.floats(width=32).map(repr) | st.sampled_from(["1", "-2", "3e400", "x"])
    likely = st.floats(0.125, 30, width=32).map(repr)
    row = st.lists(likely, min_size=2, max_size=2)
    rows = st.lists(row, min_size=10, max_size=15) | st.lists(
        st.lists(numbers, min_size=1, max_size=4), max_size=30
    )
    texts = st.builds(
        lambda head, table, gap: (
            head + "\n".join(gap.join(r) for r in table)
        ).encode(),
        st.text(max_size=60),
        rows,
        st.sampled_from([" ", ",", ";", "\t", "  "]),
    )
    names = st.sampled_from([".xy", ".chi", ".dat", ".csv", ".tif", ".cbf", ".npy"])
    drawn = st.tuples(names.map(lambda s: f"drawn{s}"), texts | st.binary(max_size=300))
    # In a folder of its own: the corpus stays as it is for the next process.
    shutil.copy(folder / "files" / "bslz4_latest.h5", Path.cwd())
    check = ReadersCheck(Path.cwd())
    return Target(check, make, drawn, warm=files)
