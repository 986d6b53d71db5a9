"""Process variables of the file writer: areaDetector's ``HDF1:``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from caproto.server import PVGroup

from ringwatch.simulated_beamline.epics.camera import PORT
from ringwatch.simulated_beamline.epics.pairs import (
    OFF_ON,
    choice,
    name_of,
    number,
    path,
    path_reading,
    reading,
    state,
)
from ringwatch.simulated_beamline.frame_file import FrameFile
from ringwatch.simulated_beamline.readout import FrameSource, Readout

__all__ = ["HDF5Writer"]

_NO_YES = ("No", "Yes")


async def _choose_path(pair: Any, instance: Any, value: str) -> str:
    """Take a folder, with the slash that areaDetector puts behind it."""
    plugin, chosen = pair.parent, value.rstrip("/") + "/"
    exists = Path(chosen).resolve().is_relative_to(plugin.folder)
    await plugin.file_path_exists.write(_NO_YES[exists])
    await pair.readback.write(chosen)
    return chosen


async def _capture(pair: Any, instance: Any, value: str) -> str:
    """Begin a file, or end it."""
    plugin = pair.parent
    async with plugin.writing:
        plugin.close()
        if value == "Capture":
            await plugin.open()
    await pair.readback.write(value)
    return value


class HDF5Writer(PVGroup):
    """Writes what the camera delivers while ``Capture`` is on, one file a capture.

    Files can be read while they are written (SWMR).

    Parameters
    ----------
    prefix : str
        Of its process variables.
    source : FrameSource
        Of the frames: their shape and type.
    folder : Path
        Files are written in it and below; another ``FilePath`` does not exist.
    """

    enable = choice("EnableCallbacks", OFF_ON, "Enable")
    blocking = choice("BlockingCallbacks", _NO_YES, "Yes")
    nd_array_port = name_of("NDArrayPort", PORT)
    array_counter = number("ArrayCounter", 0)
    file_path = path("FilePath", "/", put=_choose_path)
    file_name = path("FileName", "frames")
    file_template = path("FileTemplate", "%s%s_%6.6d.h5")
    file_number = number("FileNumber", 0)
    auto_increment = choice("AutoIncrement", _NO_YES, "Yes")
    auto_save = choice("AutoSave", _NO_YES, "No")
    file_write_mode = choice("FileWriteMode", ("Single", "Capture", "Stream"), "Stream")
    num_capture = number("NumCapture", 0)
    create_directory = number("CreateDirectory", -3)
    lazy_open = choice("LazyOpen", _NO_YES, "Yes")
    swmr_mode = choice("SWMRMode", ("Off", "On"), "On")
    capture = choice("Capture", ("Done", "Capture"), "Done", put=_capture)
    plugin_type = reading("PluginType_RBV", "NDFileHDF5")
    port_name = reading("PortName_RBV", "FileHDF1")
    file_path_exists = state("FilePathExists_RBV", _NO_YES, "No")
    full_file_name = path_reading("FullFileName_RBV")
    num_captured = reading("NumCaptured_RBV", 0)
    write_status = state("WriteStatus", ("Write OK", "Write error"), "Write OK")
    array_size_0 = reading("ArraySize0_RBV", 0)
    array_size_1 = reading("ArraySize1_RBV", 0)
    array_size_2 = reading("ArraySize2_RBV", 0)
    n_dimensions = reading("NDimensions_RBV", 2)
    unique_id = reading("UniqueId_RBV", -1)
    time_stamp = reading("TimeStamp_RBV", 0.0, units="s", precision=6)

    def __init__(
        self, prefix: str, *, source: FrameSource, folder: Path, **kwargs: Any
    ) -> None:
        super().__init__(prefix, **kwargs)
        self.folder = folder.resolve()
        self._source = source
        self._file: FrameFile | None = None
        self.writing = asyncio.Lock()  # no file is closed while a frame goes into it

    async def prepare(self) -> None:
        """Say what arrays will come; a plugin that never saw one cannot be staged."""
        rows, columns = self._source.shape
        await self.array_size_0.write(columns)
        await self.array_size_1.write(rows)

    async def open(self) -> None:
        """Begin a file under the name that is asked for.

        Raises
        ------
        OSError
            If it lies outside the folder or cannot be made.
        """
        number = self.file_number.readback.value
        parts = (
            self.file_path.readback.value,
            self.file_name.readback.value,
            number,
        )
        place = Path(self.file_template.readback.value % parts)
        if not place.resolve().is_relative_to(self.folder):
            await self.write_status.write("Write error")
            msg = f"{place} lies outside {self.folder}; set FilePath to a place in it."
            raise PermissionError(msg)
        source = self._source
        self._file = await asyncio.to_thread(
            FrameFile, place.parent, source.shape, source.dtype, name=place.name
        )
        if self.auto_increment.readback.value == "Yes":
            await self.file_number.setpoint.write(number + 1)
        await self.full_file_name.write(str(self._file.path))
        await self.num_captured.write(0)
        await self.write_status.write("Write OK")

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def take(self, readout: Readout) -> None:
        """Write one frame, where capture is on, and tell its number and time."""
        if self.enable.readback.value != "Enable":
            return
        await self.array_counter.readback.write(self.array_counter.readback.value + 1)
        await self.unique_id.write(readout.frame_number)
        await self.time_stamp.write(readout.timestamp)
        async with self.writing:
            written = await self._write(readout)
        if written and written == self.num_capture.readback.value:
            await self.capture.setpoint.write("Done")

    async def _write(self, readout: Readout) -> int:
        """Append to the file, if there is one; how many frames it has then."""
        if self._file is None:
            return 0
        try:
            await asyncio.to_thread(self._file.append, readout)
        except OSError:
            await self.write_status.write("Write error")
            raise
        await self.num_captured.write(self._file.length)
        return self._file.length
