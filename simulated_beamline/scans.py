"""Scans that take frames and, beside them, the truth in a stream of its own.

All are ordinary Bluesky plans. Each yields one run, except ``dark_run``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator

from ringwatch.simulated_beamline.area_detector import AreaDetector
from ringwatch.simulated_beamline.readings import TruthRecorder
from ringwatch.simulated_beamline.stream_detector import StreamDetector

__all__ = ["dark_run", "fly", "grid", "step_scan"]

FLUSH_S = 0.25
"""How often a fly scan announces its frames, seconds."""

# Bluesky leaves these three without types.
_staged: Any = bpp.stage_wrapper
_in_a_run: Any = bpp.run_wrapper
_finally: Any = bpp.finalize_wrapper

Steps = int | Iterable[Mapping[Any, float]]
Metadata = Mapping[str, Any] | None


def step_scan(
    detector: AreaDetector,
    steps: Steps,
    readables: Sequence[Any] = (),
    *,
    truth: TruthRecorder | None = None,
    darks: int = 0,
    shutter: Any = None,
    md: Metadata = None,
) -> MsgGenerator[str]:
    """One frame a step, with a checkpoint before each so that a pause rewinds to it.

    Parameters
    ----------
    detector : AreaDetector
        Of any style.
    steps : int or iterable of {motor: position}
        How many frames, or where to go before each.
    readables : sequence of devices
        Read with each frame (I0, furnace, motors).
    truth : TruthRecorder, optional
        Where the truth of each frame comes from.
    darks : int
        Frames with a closed shutter that go before, into the stream ``dark``.
    shutter : positioner
        Needed for darks; 1 is open.
    md : mapping, optional
        Joins the start document.

    Returns
    -------
    str
        uid of the run.
    """
    points = [{}] * steps if isinstance(steps, int) else list(steps)
    header = {"plan_name": "step_scan", "num_points": len(points), **(md or {})}

    def frames() -> MsgGenerator[None]:
        if darks:
            yield from _dark_frames(detector, shutter, darks, truth, stream="dark")
        yield from _staged(light(), [detector])

    def light() -> MsgGenerator[None]:
        for point in points:
            yield from bps.checkpoint()
            for motor, position in point.items():
                yield from bps.mv(motor, position)
            yield from bps.trigger_and_read([detector, *readables], name="primary")
            yield from _record_truth(truth)

    return (yield from _run(frames(), truth, header))


def grid(
    detector: AreaDetector,
    axes: Sequence[tuple[Any, Sequence[float]]],
    readables: Sequence[Any] = (),
    **options: Any,
) -> MsgGenerator[str]:
    """A step scan over all combinations of positions, the last axis fastest.

    Parameters
    ----------
    axes : sequence of (motor, positions)
        The motors are read with each frame.
    detector, readables, options
        See ``step_scan``.
    """
    motors = [motor for motor, _ in axes]
    places = itertools.product(*(positions for _, positions in axes))
    steps = [dict(zip(motors, place, strict=True)) for place in places]
    return (yield from step_scan(detector, steps, [*readables, *motors], **options))


def dark_run(
    detector: AreaDetector, shutter: Any, num_frames: int, *, md: Metadata = None
) -> MsgGenerator[str]:
    """Dark frames in a run of their own, marked ``dark_frame=True``.

    A run that is to be corrected by it has the uid returned here under
    ``sc_dk_field_uid`` in its start document (the convention of NSLS-II XPD).
    """
    header = {"plan_name": "dark_run", "dark_frame": True, **(md or {})}
    frames = _dark_frames(detector, shutter, num_frames, None, stream="primary")
    return (yield from _run(frames, None, header))


def fly(
    detector: StreamDetector,
    num_frames: int,
    *,
    truth: TruthRecorder | None = None,
    darks: int = 0,
    shutter: Any = None,
    md: Metadata = None,
) -> MsgGenerator[str]:
    """Frames as fast as the detector takes them, announced in ranges, without events.

    A pause holds the flight and a resume lets it go on: nothing is taken twice.
    Parameters as in ``step_scan``.
    """
    header = {"plan_name": "fly", "num_points": num_frames, **(md or {})}

    def flight() -> MsgGenerator[None]:
        if darks:
            yield from _dark_frames(detector, shutter, darks, truth, stream="dark")
        yield from bps.abs_set(detector.num_frames, num_frames, wait=True)
        yield from _staged(light(), [detector])

    def light() -> MsgGenerator[None]:
        yield from bps.declare_stream(detector, name="primary", collect=True)
        # A pause needs a checkpoint; the detector itself forbids a replay.
        yield from bps.checkpoint()
        yield from bps.kickoff(detector, wait=True)
        landed = yield from bps.complete(detector, wait=False)
        # Not collect_while_completing: a pause cancels its wait, and the RunEngine
        # has then forgotten what to wait for.
        while not landed.done:
            yield from bps.sleep(FLUSH_S)
            yield from bps.collect(detector, name="primary")
        yield from bps.collect(detector, name="primary")
        yield from _record_truth(truth)

    return (yield from _run(flight(), truth, header))


def _run(
    plan: MsgGenerator[None], truth: TruthRecorder | None, md: Mapping[str, Any]
) -> MsgGenerator[str]:
    staged = _staged(plan, [truth] if truth is not None else [])
    return (yield from _in_a_run(staged, md=dict(md)))


def _dark_frames(
    detector: AreaDetector,
    shutter: Any,
    number: int,
    truth: TruthRecorder | None,
    *,
    stream: str,
) -> MsgGenerator[None]:
    """Frames with a closed shutter. Staged apart: one file serves one stream only."""

    def closed() -> MsgGenerator[None]:
        yield from bps.mv(shutter, 0)
        for _ in range(number):
            yield from bps.checkpoint()
            yield from bps.trigger_and_read([detector], name=stream)
            yield from _record_truth(truth)

    def opened() -> MsgGenerator[None]:
        yield from bps.mv(shutter, 1)

    inside = _staged(closed(), [detector])
    yield from _finally(inside, opened())


def _record_truth(truth: TruthRecorder | None) -> MsgGenerator[None]:
    """One event in the stream ``truth`` for each frame whose truth is not told yet."""
    while truth is not None and truth.pending:
        yield from bps.trigger_and_read([truth], name="truth")
