"""The process of the simulated IOC: ``python -m ...simulated_beamline.epics.ioc``.

Takes its orders as one line of JSON on stdin and its ports from EPICS' environment,
answers with a line of JSON when it serves, and serves until stdin ends, so that no IOC
outlives who started it. Not meant to be started by hand: see ``ioc_process``.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from caproto.asyncio.server import start_server
from caproto.server import PVGroup
from ophyd import HDF5Plugin
from ophyd.areadetector.cam import SimDetectorCam

from ringwatch.simulated_beamline import scenarios
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.epics.camera import Camera
from ringwatch.simulated_beamline.epics.hdf5_plugin import HDF5Writer
from ringwatch.simulated_beamline.epics.pairs import reading
from ringwatch.simulated_beamline.epics.placeholders import placeholders
from ringwatch.simulated_beamline.epics.sample_stage import (
    FurnaceRecord,
    MotorRecord,
    ShutterRecord,
)
from ringwatch.simulated_beamline.readout import Readout

__all__ = ["SimulatedIOC", "serve"]

LOOPBACK = "127.0.0.1"
CAMERA, WRITER = "DET:cam1:", "DET:HDF1:"


class SimulatedIOC(PVGroup):
    """All process variables of a beamline.

    Parameters
    ----------
    prefix : str
        Before all names.
    beamline : Beamline
        Its experiment is what happens; its devices are not used.
    """

    i0 = reading("I0", 0.0, units="counts", precision=1)

    def __init__(self, prefix: str, *, beamline: Beamline) -> None:
        super().__init__(prefix)
        experiment = beamline.experiment
        self._experiment, self._exposure_time = experiment, beamline.exposure_time
        self.furnace = FurnaceRecord(f"{prefix}FURNACE:", experiment=experiment)
        self.writer = HDF5Writer(
            prefix + WRITER, source=experiment, folder=beamline.folder
        )
        self.camera = Camera(prefix + CAMERA, source=experiment, deliver=self.deliver)
        self.groups: list[Any] = [
            self,
            self.furnace,
            self.writer,
            self.camera,
            ShutterRecord(f"{prefix}SHUTTER:", experiment=experiment),
            *(
                MotorRecord(
                    prefix + name.upper(), experiment=experiment, attribute=name
                )
                for name in ("sample_y", "detector_x")
            ),
        ]

    async def deliver(self, readout: Readout) -> None:
        """Let everybody know of a frame; the file has it when this returns."""
        await self.i0.write(self._experiment.i0)
        await self.furnace.update()
        await self.writer.take(readout)

    async def prepare(self) -> None:
        """Say how things are, before clients come."""
        await self.furnace.prepare()
        await self.camera.prepare(self._exposure_time)
        await self.writer.prepare()

    def channels(self) -> dict[str, Any]:
        """All channels by name, those with nothing behind them too."""
        own = {name: c for group in self.groups for name, c in group.pvdb.items()}
        stock = {
            self.prefix + CAMERA: SimDetectorCam,
            self.prefix + WRITER: HDF5Plugin,
        }
        return own | placeholders(own, stock)


def serve() -> None:
    """Serve until stdin ends."""
    order = json.loads(sys.stdin.readline())
    scenario = getattr(scenarios, order["scenario"])(**order["options"])
    beamline = scenario.beamline(Path(order["folder"]))
    asyncio.run(_serve(SimulatedIOC(order["prefix"], beamline=beamline), beamline))


async def _serve(ioc: SimulatedIOC, beamline: Beamline) -> None:
    _check_port(int(os.environ["EPICS_CAS_SERVER_PORT"]))
    await ioc.prepare()
    channels = ioc.channels()

    async def announce(async_lib: Any) -> None:
        answer = {
            "poni": str(beamline.poni_path),
            "mask": str(beamline.mask_path),
            "channels": len(channels),
        }
        print(json.dumps(answer), flush=True)

    server = asyncio.create_task(
        start_server(channels, interfaces=[LOOPBACK], startup_hook=announce)
    )
    loop = asyncio.get_running_loop()

    def end_with_stdin() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(server.cancel)

    threading.Thread(target=end_with_stdin, daemon=True).start()
    await asyncio.wait([server])
    ioc.writer.close()


def _check_port(port: int) -> None:
    """Make sure that searches on this port reach us.

    caproto shares it with whoever has it, and one of the two is not heard.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            msg = f"UDP port {port} is taken ({error.strerror}); start another IOC."
            raise RuntimeError(msg) from None


if __name__ == "__main__":
    serve()
