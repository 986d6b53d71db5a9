"""The devices in front of the IOC, as a beamline's profile would write them.

Stock ophyd classes, but where these fail: each exception says why.
"""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any

from ophyd import (
    Component,
    EpicsSignal,
    EpicsSignalRO,
    HDF5Plugin,
    Kind,
    PVPositioner,
    SimDetector,
    SingleTrigger,
)
from ophyd.areadetector import EpicsSignalWithRBV
from ophyd.areadetector.filestore_mixins import FileStoreHDF5IterativeWrite
from ophyd.device import Staged
from ophyd.status import DeviceStatus
from ophyd.utils.errors import InvalidState

__all__ = ["GRACE_S", "Detector", "FrameWriter", "Furnace"]

logger = logging.getLogger(__name__)

GRACE_S = 20.0
"""How long a device may be late before its status fails, seconds."""


class Furnace(PVPositioner):
    """The furnace; its reading bears its own name, as a motor's does."""

    # Without a time an IOC that dies before it answers is waited for ten years.
    setpoint = Component(EpicsSignal, "SP", kind=Kind.config, write_timeout=GRACE_S)
    readback = Component(EpicsSignalRO, "RBV", kind=Kind.hinted)
    done = Component(EpicsSignalRO, "DONE", kind=Kind.omitted)

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, egu="K", **kwargs)
        self.readback.name = name


class FrameWriter(HDF5Plugin, FileStoreHDF5IterativeWrite):
    """areaDetector's HDF5 plugin with files that are read while they are written."""

    # Without a time a capture that fails is waited for without end.
    capture = Component(EpicsSignalWithRBV, "Capture", write_timeout=GRACE_S)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.filestore_spec = "AD_HDF5_SWMR"

    def stage(self) -> Any:
        """Begin a file.

        Raises
        ------
        FileNotFoundError
            If the IOC does not write there. ophyd looks too late: after ``capture``.
        """
        _, _, path = self.make_filename()
        self.file_path.set(path).wait(GRACE_S)
        if not self.file_path_exists.get():
            msg = (
                f"The IOC of {self.prefix} does not write to {path}; give a folder "
                "that it has as write_path_template."
            )
            raise FileNotFoundError(msg)
        return super().stage()


class Detector(SingleTrigger, SimDetector):
    """An areaDetector that takes one frame a trigger into a file.

    Parameters
    ----------
    prefix : str
        Of the detector.
    name : str
        The frames' data key is ``<name>_image``.
    folder : Path
        Where the IOC is to write.
    """

    hdf5 = Component(FrameWriter, "HDF1:", write_path_template="/")
    exposure_time = Component(EpicsSignalWithRBV, "cam1:AcquireTime", kind=Kind.normal)
    # As written beside the frame, which tells of frames that the detector lost.
    frame_number = Component(EpicsSignalRO, "HDF1:UniqueId_RBV", kind=Kind.normal)
    timestamp = Component(EpicsSignalRO, "HDF1:TimeStamp_RBV", kind=Kind.normal)

    def __init__(
        self, prefix: str = "", *, name: str, folder: Path, **kwargs: Any
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        # A template: ophyd puts the date in place of what begins with %.
        self.hdf5.write_path_template = str(folder.resolve()).replace("%", "%%")
        self.read_attrs = ["hdf5", "exposure_time", "frame_number", "timestamp"]
        self.hdf5.read_attrs = []
        self.stage_sigs.update({"cam.num_images": 1, "cam.array_counter": 0})

    def trigger(self) -> DeviceStatus:
        """Take one frame; the status is done when it is written.

        ophyd's own returns ``self._status``, which the thread that hears of the end may
        have set to None by then, and never gives up on an IOC that is gone.

        Raises
        ------
        RuntimeError
            If the detector is not staged.
        """
        if self._staged != Staged.yes:
            msg = f"{self.name} is not staged; stage it before it is triggered."
            raise RuntimeError(msg)
        timeout = self.exposure_time.get() + GRACE_S
        status = self._status = self._status_type(self, timeout=timeout)
        self._acquisition_signal.put(1, wait=False)
        self.generate_datum(self._image_name, time.time(), {})
        return status

    def stage(self) -> None:
        """Begin a series, with its file."""
        acquire = self._acquisition_signal
        acquire.subscribe(self._connected, event_type=acquire.SUB_META, run=False)
        super().stage()

    def unstage(self) -> None:
        """Close the file, and set back what staging had set.

        Where the IOC is gone that cannot be done, which must not hide why a plan ended.
        """
        acquire = self._acquisition_signal
        acquire.clear_sub(self._connected)
        try:
            super().unstage()
        except TimeoutError:
            if acquire.connected:
                raise
            logger.warning("%s stays staged: its IOC is gone", self.name)

    def _connected(self, *, connected: bool = True, **kwargs: Any) -> None:
        """Fail at once where the IOC goes away: nobody will tell of the frame."""
        status = self._status
        if connected or status is None:
            return
        self._status = None
        with contextlib.suppress(InvalidState):  # it was done at the same moment
            status.set_exception(
                ConnectionError(
                    f"{self.name}: the IOC of {self.prefix} went away during an "
                    "exposure; start it again and repeat the scan."
                )
            )

    def pause(self) -> None:
        """Let the running exposure end, so that a rewind does not take it for its own.

        Hardware cannot take a photon back; the frame stays in the file.
        """
        status = self._status
        if status is not None:
            # Waits; an exception is carried by the status.
            status.exception(self.exposure_time.get() + GRACE_S)
        super().pause()
