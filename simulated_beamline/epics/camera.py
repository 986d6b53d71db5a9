"""Process variables of the camera: areaDetector's ``cam1:``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from caproto.server import PVGroup

from ringwatch.simulated_beamline.epics.pairs import (
    OFF_ON,
    choice,
    number,
    path,
    reading,
    state,
)
from ringwatch.simulated_beamline.readout import FrameSource, Readout

__all__ = ["DATA_TYPES", "PORT", "Camera"]

logger = logging.getLogger(__name__)

PORT = "SIM1"
"""areaDetector's name of where the camera's arrays come from."""

DATA_TYPES = (
    *("Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32"),
    *("Int64", "UInt64", "Float32", "Float64"),
)

_UNENDING = 1 << 31


async def _acquire(pair: Any, instance: Any, value: str) -> str:
    """Take frames; the put is complete when they are there, as with areaDetector."""
    camera = pair.parent
    if value != "Acquire":
        camera.stopping = True
        if not camera.running:
            await pair.readback.write("Done")
    elif not camera.running:
        camera.running, camera.stopping = True, False
        await camera.take_frames()
    return "Acquire" if camera.running else "Done"


async def _count_from(pair: Any, instance: Any, value: int) -> None:
    """Set the counter of arrays; from 0 on counts a new series."""
    if value == 0:
        pair.parent.source.arm()
    await pair.readback.write(value)


class Camera(PVGroup):
    """A camera that exposes a source of frames, one or many per ``Acquire``.

    A series begins where ``ArrayCounter`` is set to 0: the source counts its frames
    from there. A stop lets the running exposure end: hardware cannot take a photon
    back.

    Parameters
    ----------
    prefix : str
        Of its process variables.
    source : FrameSource
    deliver : coroutine function
        Takes each frame; ``Acquire`` falls when it has taken the last.
    """

    acquire = choice("Acquire", ("Done", "Acquire"), "Done", put=_acquire)
    acquire_time = number("AcquireTime", 0.05, precision=4, units="s")
    acquire_period = number("AcquirePeriod", 0.05, precision=4, units="s")
    image_mode = choice("ImageMode", ("Single", "Multiple", "Continuous"), "Single")
    num_images = number("NumImages", 1)
    num_exposures = number("NumExposures", 1)
    trigger_mode = choice("TriggerMode", ("Internal", "External"), "Internal")
    array_callbacks = choice("ArrayCallbacks", OFF_ON, "Enable")
    array_counter = number("ArrayCounter", 0, put=_count_from)
    data_type = choice("DataType", DATA_TYPES, "UInt16")
    color_mode = choice("ColorMode", ("Mono",), "Mono")
    nd_attributes_file = path("NDAttributesFile", "")
    data_type_disabled = reading("DataType_RBV.DISA", 0)
    num_images_counter = reading("NumImagesCounter_RBV", 0)
    array_size_x = reading("ArraySizeX_RBV", 0)
    array_size_y = reading("ArraySizeY_RBV", 0)
    array_size_z = reading("ArraySizeZ_RBV", 0)
    array_size = reading("ArraySize_RBV", 0, units="byte")
    max_size_x = reading("MaxSizeX_RBV", 0)
    max_size_y = reading("MaxSizeY_RBV", 0)
    detector_state = state(
        "DetectorState_RBV", ("Idle", "Acquire", "Readout", "Error"), "Idle"
    )
    port_name = reading("PortName_RBV", PORT)
    manufacturer = reading("Manufacturer_RBV", "Ringwatch")
    model = reading("Model_RBV", "simulated powder camera")

    def __init__(
        self,
        prefix: str,
        *,
        source: FrameSource,
        deliver: Callable[[Readout], Awaitable[None]],
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, **kwargs)
        self.source, self._deliver = source, deliver
        self.running = self.stopping = False

    async def prepare(self, exposure_time: float) -> None:
        """Say what the source is like, before clients come.

        Parameters
        ----------
        exposure_time : float
            To begin with, seconds.
        """
        rows, columns = self.source.shape
        dtype = np.dtype(self.source.dtype)
        for channel, value in (
            (self.array_size_x, columns),
            (self.array_size_y, rows),
            (self.max_size_x, columns),
            (self.max_size_y, rows),
            (self.array_size, rows * columns * dtype.itemsize),
        ):
            await channel.write(value)
        names = {name.lower(): name for name in DATA_TYPES}
        for pair, start in (
            (self.data_type, names[dtype.name]),
            (self.acquire_time, exposure_time),
            (self.acquire_period, exposure_time),
        ):
            await pair.setpoint.write(start)

    async def take_frames(self) -> None:
        """Expose and deliver as many frames as ``ImageMode`` and ``NumImages`` say."""
        await self.acquire.readback.write("Acquire")
        await self.detector_state.write("Acquire")
        wanted = {
            "Single": 1,
            "Multiple": self.num_images.readback.value,
        }.get(self.image_mode.readback.value, _UNENDING)
        end = "Idle"
        try:
            for taken in range(1, wanted + 1):
                readout = await self._expose()
                if self.array_callbacks.readback.value == "Enable":
                    await self._deliver(readout)
                counted = self.array_counter.readback.value + 1
                await self.array_counter.readback.write(counted)
                await self.num_images_counter.write(taken)
                if self.stopping:
                    break
        except (OSError, ValueError):
            logger.exception("an acquisition failed")
            end = "Error"
        finally:
            self.running = False
            await self.detector_state.write(end)
            await self.acquire.readback.write("Done")

    async def _expose(self) -> Readout:
        exposure_time = float(self.acquire_time.readback.value)
        period = float(self.acquire_period.readback.value)
        clock = asyncio.get_running_loop()
        until = clock.time() + max(exposure_time, period)
        readout = await asyncio.to_thread(self.source.read_out, exposure_time)
        await asyncio.sleep(max(0.0, until - clock.time()))
        return readout
