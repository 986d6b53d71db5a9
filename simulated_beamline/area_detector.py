"""Area detectors as ophyd devices, in the three styles of announcing a frame.

The exposure runs in a thread of its own, as the hardware would: ``trigger`` returns at
once and the RunEngine stays free.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from event_model import compose_resource
from numpy.typing import NDArray
from ophyd import Component, Device, Kind, Signal
from ophyd.status import DeviceStatus

from ringwatch.simulated_beamline.frame_file import FrameFile
from ringwatch.simulated_beamline.readout import FrameSource, Readout

__all__ = ["GRACE_S", "AreaDetector", "DatumDetector", "InlineDetector", "settle"]

GRACE_S = 20.0
"""How long an exposure may overrun (a slow disk) before its status fails, seconds."""


class AreaDetector(Device):
    """What all styles share: exposure, staging, pause and resume.

    Parameters
    ----------
    prefix : str
        Unused; ophyd passes one to every device.
    name : str
        The frame's data key is ``<name>_image``.
    source : FrameSource
        What is exposed.
    folder : Path
        Where files go; unused by the inline style.
    exposure_time : float
        Seconds.
    pace : float
        Seconds of the wall that a second of exposure takes; 0: frames come as soon as
        they are drawn, in simulated time alone.
    """

    exposure_time = Component(Signal, value=0.05, kind=Kind.normal)
    frame_number = Component(Signal, value=-1, kind=Kind.normal)
    timestamp = Component(Signal, value=0.0, kind=Kind.normal)
    external: ClassVar[str] = ""

    def __init__(
        self,
        prefix: str = "",
        *,
        name: str,
        source: FrameSource,
        folder: Path = Path(),
        exposure_time: float = 0.05,
        pace: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.source = source
        self.folder = Path(folder)
        self.pace = pace
        self.exposure_time.put(exposure_time)
        self._electronics: ThreadPoolExecutor | None = None
        self._exposing: Future[None] | None = None

    @property
    def data_key(self) -> str:
        """Data key of the frames."""
        return f"{self.name}_image"

    # -- staging ------------------------------------------------------------------
    def stage(self) -> list[object]:
        """Begin a series, with its file where the style has one."""
        devices: list[object] = super().stage()
        self.source.arm()
        self._electronics = ThreadPoolExecutor(1, thread_name_prefix=self.name)
        self._open()
        return devices

    def unstage(self) -> list[object]:
        """Wait for a running exposure, then close the file and end the thread."""
        if self._electronics is not None:
            self._electronics.shutdown(wait=True)
            self._electronics = None
            self._close()
        devices: list[object] = super().unstage()
        return devices

    def _open(self) -> None:
        """Prepare what the style keeps per series."""

    def _close(self) -> None:
        """Let go of what ``_open`` prepared."""

    # -- exposing -----------------------------------------------------------------
    def trigger(self) -> DeviceStatus:
        """Take one frame; the status is done when it is written.

        Raises
        ------
        RuntimeError
            If the detector is not staged.
        """
        status = DeviceStatus(self, timeout=self.exposure_time.get() + GRACE_S)
        self._exposing = self._armed().submit(self._expose)
        self._exposing.add_done_callback(lambda future: settle(status, future))
        return status

    def pause(self) -> None:
        """Finish the running exposure: hardware cannot take a photon back."""
        if self._exposing is not None:
            # Waits; an exception is carried by the status.
            self._exposing.exception(self.exposure_time.get() + GRACE_S)
        super().pause()

    def _armed(self) -> ThreadPoolExecutor:
        if self._electronics is None:
            msg = (
                f"{self.name} is not staged, so it has no series to put a frame into. "
                "Stage it first, e.g. with bluesky.preprocessors.stage_decorator."
            )
            raise RuntimeError(msg)
        return self._electronics

    def _expose(self) -> None:
        started = time.monotonic()
        exposure_time = float(self.exposure_time.get())
        readout = self.source.read_out(exposure_time)
        lasts = exposure_time * self.pace
        time.sleep(max(0.0, started + lasts - time.monotonic()))
        self._keep(readout)
        self.frame_number.put(readout.frame_number)
        self.timestamp.put(readout.timestamp)

    def _keep(self, readout: Readout) -> None:
        """Keep the frame the way the style does."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it keeps.")

    # -- documents ----------------------------------------------------------------
    def describe(self) -> dict[str, Any]:
        """Scalars beside the frame, and the frame as ``(y, x)``."""
        keys: dict[str, Any] = super().describe()
        keys.update(self._describe_frames())
        return keys

    def _describe_frames(self) -> dict[str, Any]:
        dtype = np.dtype(self.source.dtype)
        key: dict[str, Any] = {
            "source": f"SIM:{self.name}",
            "dtype": "array",
            "dtype_numpy": dtype.str,
            "shape": list(self.source.shape),
            "dims": ["y", "x"],
            "object_name": self.name,
        }
        if self.external:
            key["external"] = self.external
        return {self.data_key: key}


class InlineDetector(AreaDetector):
    """The frame travels inside the event."""

    def _open(self) -> None:
        self._latest: tuple[NDArray[Any], float] | None = None

    def _keep(self, readout: Readout) -> None:
        self._latest = (readout.pixels, time.time())

    def read(self) -> dict[str, Any]:
        """Scalars and the latest frame."""
        reading: dict[str, Any] = super().read()
        if self._latest is not None:
            pixels, timestamp = self._latest
            reading[self.data_key] = {"value": pixels, "timestamp": timestamp}
        return reading


class DatumDetector(AreaDetector):
    """Classic areaDetector: Resource and Datum, the event holds the ``datum_id``."""

    external: ClassVar[str] = "FILESTORE:"
    spec: ClassVar[str] = "AD_HDF5_SWMR"

    def _open(self) -> None:
        self._frame_file = FrameFile(self.folder, self.source.shape, self.source.dtype)
        path = self._frame_file.path
        self._resource = compose_resource(
            spec=self.spec,
            root=path.anchor,
            resource_path=path.relative_to(path.anchor).as_posix(),
            resource_kwargs={"frame_per_point": 1},
        )
        # The RunEngine fills in the run's uid when it really emits the document.
        self._resource_doc: dict[str, Any] = dict(self._resource.resource_doc)
        self._resource_doc.pop("run_start", None)
        self._datum_docs: list[dict[str, Any]] = []
        self._latest: tuple[str, float] | None = None

    def _close(self) -> None:
        self._frame_file.close()

    def _keep(self, readout: Readout) -> None:
        self._frame_file.append(readout)
        datum = self._resource.compose_datum(
            datum_kwargs={"point_number": self._frame_file.length - 1}
        )
        self._datum_docs.append(dict(datum))
        self._latest = (datum["datum_id"], time.time())

    def read(self) -> dict[str, Any]:
        """Scalars and the identity of the latest frame."""
        reading: dict[str, Any] = super().read()
        if self._latest is not None:
            datum_id, timestamp = self._latest
            reading[self.data_key] = {"value": datum_id, "timestamp": timestamp}
        return reading

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Resource until it went out, then the Datum of each frame not yet announced.

        A pause between ``read`` and ``save`` makes the RunEngine forget what it had
        collected; ``run_start`` is filled in only where the resource really went out.
        """
        if not self._datum_docs:
            return
        if "run_start" not in self._resource_doc:
            yield "resource", self._resource_doc
        announced, self._datum_docs = self._datum_docs, []
        for datum in announced:
            yield "datum", datum


def settle(status: DeviceStatus, future: Future[None]) -> None:
    """Pass the outcome of a finished exposure on to the status that announces it."""
    error = future.exception()
    if error is None:
        status.set_finished()
    else:
        status.set_exception(error)
