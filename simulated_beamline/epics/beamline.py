"""The beamline in one hand, as ``simulated_beamline.beamline``, over Channel Access."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Self

import ophyd
from bluesky.utils import MsgGenerator
from ophyd import EpicsMotor, EpicsSignal, EpicsSignalRO
from ophyd.signal import EpicsSignalBase

from ringwatch.simulated_beamline import scans
from ringwatch.simulated_beamline.epics.devices import GRACE_S, Detector, Furnace
from ringwatch.simulated_beamline.epics.ioc_process import IocProcess

__all__ = ["EpicsBeamline"]

_CONNECT_S = 20.0
_CLOSE_S = 10.0
_PATIENCE_S = 10.0
"""How long one reading may take, seconds; ophyd's two are short for a busy machine."""


class EpicsBeamline:
    """ophyd's EPICS devices in front of a running IOC.

    The data keys are those of the soft devices. What really happened, the truth, stays
    in the IOC.

    Parameters
    ----------
    ioc : IocProcess
        Started.

    Attributes
    ----------
    detector : Detector
        Frames have the data key ``detector_image`` and are announced by Resource and
        Datum.
    i0, furnace, sample_y, detector_x, shutter : devices
        Keys ``i0``, ``furnace_temperature`` (K), ``sample_y``, ``detector_x`` (mm),
        ``shutter`` (1 open).
    poni_path, mask_path : Path
        Geometry as calibrated, for pyFAI; mask as .npy, True where masked.

    Raises
    ------
    RuntimeError
        If the IOC cannot be reached by Channel Access.
    """

    def __init__(self, ioc: IocProcess) -> None:
        prefix = ioc.prefix
        self.poni_path, self.mask_path = ioc.poni_path, ioc.mask_path
        self._devices: list[Any] = []
        with contextlib.suppress(RuntimeError):  # only before the first is made
            EpicsSignalBase.set_defaults(
                timeout=_PATIENCE_S, connection_timeout=_PATIENCE_S
            )
        try:
            self.i0 = self._add(EpicsSignalRO(f"{prefix}I0", name="i0"))
            self.furnace = self._add(
                Furnace(f"{prefix}FURNACE:", name="furnace_temperature")
            )
            self.sample_y, self.detector_x = (
                self._add(EpicsMotor(prefix + name.upper(), name=name, timeout=GRACE_S))
                for name in ("sample_y", "detector_x")
            )
            self.shutter = self._add(
                EpicsSignal(
                    f"{prefix}SHUTTER:POS",
                    write_pv=f"{prefix}SHUTTER:CMD",
                    name="shutter",
                    write_timeout=GRACE_S,
                )
            )
            folder = ioc.folder / "frames"
            self.detector = self._add(
                Detector(f"{prefix}DET:", name="detector", folder=folder)
            )
        except TimeoutError as error:
            self.close()
            msg = (
                f"No connection to the IOC of {prefix} ({error}). Channel Access reads "
                "its addresses once: was another process variable made in this "
                "process before the first simulated IOC was started?"
            )
            raise RuntimeError(msg) from error

    def _add(self, device: Any) -> Any:
        self._devices.append(device)
        device.wait_for_connection(timeout=_CONNECT_S)
        return device

    @property
    def readables(self) -> list[Any]:
        """What is read with each frame."""
        return [self.i0, self.furnace, self.sample_y, self.detector_x]

    def step_scan(self, steps: scans.Steps, **options: Any) -> MsgGenerator[str]:
        """``scans.step_scan`` with this beamline's devices."""
        options = {"shutter": self.shutter, **options}
        return scans.step_scan(self.detector, steps, self.readables, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget all process variables. The IOC goes on."""
        _await_readers(_CLOSE_S)
        for device in self._devices:
            device.destroy()


def _await_readers(timeout: float) -> None:
    """Wait until ophyd's own threads have read what they were asked for.

    libca crashes the process where a channel goes while its metadata is unpacked. The
    threads share one queue: when all of them meet, what was asked before is done.
    """
    dispatcher = ophyd.cl.get_dispatcher()
    readers = [name for name in dispatcher.threads if name.startswith("util")]
    meeting = threading.Barrier(len(readers) + 1)

    def meet() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(timeout)

    for _ in readers:
        dispatcher.schedule_utility_task(meet)
    meet()
