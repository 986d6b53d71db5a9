"""From the rows of each benchmark of speed to lines of one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ringwatch.benchmarks.peers import AGENT, CAKE
from ringwatch.benchmarks.speed_line import SpeedLine

__all__ = ["LINES_OF", "held"]

Row = dict[str, Any]


def _by_way(rows: list[Row], key: str) -> dict[Any, dict[str, Row]]:
    """Rows by the value of ``key`` and by way, in their order."""
    found: dict[Any, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row[key], {})[row["way"]] = row
    return found


def _reduction(rows: list[Row]) -> list[SpeedLine]:
    lines = []
    for mpx, ways in _by_way(rows, "mpx").items():
        floor = ways["floor"]["ms"]
        peers = [way for way in ways if way.startswith("pyFAI ")]
        ours = [way for way in ways if way not in (*peers, "floor")]
        for way in ours:
            ms = ways[way]["ms"]
            if ms is None:  # a way that does not exist yet
                continue
            # The agent's own way beside all of pyFAI's, the others beside the fastest.
            for peer in peers if way == AGENT else peers[:1]:
                ratio, above = ways[peer]["ms"] / ms, ms / floor
                least, most = {CAKE: (2.5, 15.0), AGENT: (0.0, 0.0)}.get(
                    way, (10.0, 4.0)
                )
                held = mpx == 4 and least > 0 and ways[way]["dtype"] == "uint16"
                lines.append(
                    SpeedLine(
                        what=f"frame to pattern, {mpx:g} Mpx: {way}",
                        unit="ms",
                        ours=ms,
                        peer=ways[peer]["ms"],
                        peer_name=peer,
                        ratio=ratio,
                        floor=floor,
                        times_the_floor=above,
                        frames_a_second=1e3 / ms,
                        asked=f"ratio >= {least:g}, floor <= {most:g}" if held else "",
                        met=(ratio >= least and above <= most) if held else None,
                    )
                )
    return lines


def _network(rows: list[Row]) -> list[SpeedLine]:
    lines = []
    for batch, ways in _by_way(rows, "batch").items():
        for what in ("predict", "network"):
            ours, peer = ways[f"ONNX, {what}"], ways[f"torch, {what}"]
            lines.append(
                SpeedLine(
                    what=f"{what}, {batch} at a time: a pattern",
                    unit="ms",
                    ours=ours["ms_a_pattern"],
                    peer=peer["ms_a_pattern"],
                    peer_name="eager torch",
                    ratio=ours["faster_than_torch"],
                    floor=ways["floor"]["ms_a_pattern"],
                    times_the_floor=ours["times_the_floor"],
                )
            )
    return lines


def _end_to_end(rows: list[Row]) -> list[SpeedLine]:
    least = {1.0: {"naive": 6, "best pyFAI": 2}, 4.0: {"naive": 8, "best pyFAI": 3}}
    lines = []
    for mpx, ways in _by_way(rows, "mpx").items():
        ours = ways["ours"]
        for peer in ("naive", "best pyFAI"):
            asked = least.get(mpx, {}).get(peer)
            ratio = ways[peer]["ms"] / ours["ms"]
            lines.append(
                SpeedLine(
                    what=(
                        "a frame of a long scan, document to published verdict "
                        f"(throughput), {mpx:g} Mpx"
                    ),
                    unit="ms",
                    ours=ours["ms"],
                    peer=ways[peer]["ms"],
                    peer_name=f"{peer} callback",
                    ratio=ratio,
                    floor=ways["floor"]["ms"],
                    times_the_floor=ours["times_the_floor"],
                    frames_a_second=1e3 / ours["ms"],
                    asked=f"ratio >= {asked}" if asked else "",
                    met=ratio >= asked if asked else None,
                )
            )
    return lines


def _latency(rows: list[Row]) -> list[SpeedLine]:
    (median,) = (row for row in rows if row["run"] == "median")
    mpx, rate = median["mpx"], median["rate"]
    held = (mpx, rate) == (1, 20)
    return [
        SpeedLine(
            what=(
                "one frame, document to 0MQ message (latency), at "
                f"{rate:g} frames/s of {mpx:g} Mpx, Tiled on: {name}"
            ),
            unit="ms",
            ours=median[key],
            asked=f"<= {most} ms" if most else "",
            met=median[key] <= most if most and held else None,
        )
        for name, key, most in (
            ("p50", "p50_ms", 15),
            ("p99", "p99_ms", 60),
            ("slowest", "max_ms", None),
        )
    ]


def _run_engine(rows: list[Row]) -> list[SpeedLine]:
    lines = []
    for style, ways in _by_way(rows, "style").items():
        ours, empty = ways["agent"], ways["empty callback"]
        bare = ways["nothing subscribed"]["scan_s"]
        lines += [
            SpeedLine(
                what=f"RunEngine, {style}: a document in the callback",
                unit="us",
                ours=ours["median_us"],
                floor=empty["median_us"],
                times_the_floor=ours["median_us"] / empty["median_us"],
                asked="< 200 us",
                met=ours["median_us"] < 200,
            ),
            SpeedLine(
                what=f"RunEngine, {style}: a whole scan",
                unit="s",
                ours=ours["scan_s"],
                peer=bare,
                peer_name="nothing subscribed",
                ratio=bare / ours["scan_s"],
            ),
        ]
    return lines


def _replay(rows: list[Row]) -> list[SpeedLine]:
    return [
        SpeedLine(
            what=f"replay of {row['frames']:,} frames of {row['pixels'] / 2**20:g} Mpx",
            unit="frames/s",
            ours=row["ours_fps"],
            peer=row["obvious_fps"],
            peer_name="frame by frame: Tiled, pyFAI, network",
            ratio=row["ratio"],
            floor=row["floor_fps"],
            times_the_floor=row["times_the_floor"],
            frames_a_second=row["ours_fps"],
            asked="ratio >= 5",
            met=row["ratio"] >= 5 if row["pixels"] == 2**20 else None,
        )
        for row in rows
    ]


def _generator(rows: list[Row]) -> list[SpeedLine]:
    ours = [row for row in rows if row["relative_error"] is None]
    peers = [row for row in rows if row["relative_error"] is not None]
    return [
        SpeedLine(
            what=f"random crystals, drawn: {first['way'].removeprefix('ours, ')}",
            unit="a core-second",
            ours=first["per_core_second"],
            peer=peer["per_core_second"],
            peer_name=peer["way"],
            ratio=first["per_core_second"] / peer["per_core_second"],
        )
        for first in ours[:1]
        for peer in peers
    ]


def _scaling(every: Mapping[str, list[Row]]) -> list[SpeedLine]:
    lines = []
    for name in ("pixels", "bins"):
        ways = {row["way"]: row["exponent"] for row in every.get(name, ())}
        if not ways:
            continue
        sizes = {key for row in every[name] for key in row}
        whole = {"ms_at_1", "ms_at_16"} <= sizes
        lines.append(
            SpeedLine(
                what=f"growth with {name}: exponent of the cake",
                unit="",
                ours=ways[CAKE],
                peer=ways["pyFAI no-csc"],
                peer_name="pyFAI no-csc",
                floor=ways["floor"],
                asked="0.9 to 1.1 over 1 to 16 Mpx" if name == "pixels" else "",
                met=0.9 <= ways[CAKE] <= 1.1 if name == "pixels" and whole else None,
            )
        )
    lines += [
        SpeedLine(
            what="last tenth of a long run beside its first tenth: median",
            unit="times",
            ours=row["median_to_first"],
            asked="0.9 to 1.1 over 20,000 frames",
            # The frames that the agent chooses its reference from are left out.
            met=(
                0.9 <= row["median_to_first"] <= 1.1 if row["frames"] >= 1990 else None
            ),
        )
        for row in every.get("frames", [])[1:]
    ]
    lines += [
        SpeedLine(
            what=f"{row['processes']} processes beside one: frames a second",
            unit="times",
            ours=row["speed_up"],
            floor=float(row["processes"]),
            times_the_floor=row["processes"] / row["speed_up"],
        )
        for row in every.get("processes", [])[1:]
    ]
    return lines


def _flags(rows: list[Row]) -> list[SpeedLine]:
    return [
        SpeedLine(
            what=f"all flags, {row['pixels'] / 2**20:.0f} Mpx {row['dtype']}"
            + (f", centre off {row['moved_px']:g} px" if row["moved_px"] else ""),
            unit="ms",
            ours=row["second_look_ms"] + row["judging_ms"],
            peer=row["reduction_ms"],
            peer_name="the reduction they live on",
            ratio=1 / row["flags_over_reduction"],
            asked="" if row["moved_px"] else "ratio >= 2",
            met=None if row["moved_px"] else row["flags_over_reduction"] <= 0.5,
        )
        for row in rows
    ]


LINES_OF: Mapping[str, Callable[[Any], list[SpeedLine]]] = MappingProxyType(
    {
        "reduction": _reduction,
        "network": _network,
        "end_to_end": _end_to_end,
        "latency": _latency,
        "run_engine": _run_engine,
        "replay": _replay,
        "generator": _generator,
        "scaling": _scaling,
        "flags": _flags,
    }
)
"""By benchmark: what makes lines of its rows."""


def held(name: str, rows: Any, asked: str) -> str:
    """What is asked of a benchmark, and whether these rows do it.

    Parameters
    ----------
    name : str
        Key of ``LINES_OF``.
    rows : list of dict, or mapping of them
        As the benchmark prints them.
    asked : str
        What is asked, in words.
    """
    lines = [line for line in LINES_OF[name](rows) if line.met is not None]
    if not lines:
        return f"{asked} Not the size asked."
    told = (
        f"{line.what}{line.peer_name and f', beside {line.peer_name}'}: {line.asked}: "
        + ("met" if line.met else "NOT met")
        for line in lines
    )
    return "\n".join((asked, *told))
