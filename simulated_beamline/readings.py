"""Everything but the detector, as ophyd devices: monitor, motors, furnace, truth."""

from __future__ import annotations

import time
from typing import Any

from ophyd import Device, Signal, SoftPositioner
from ophyd.status import DeviceStatus, MoveStatus
from ophyd.utils import ReadOnlyError

from ringwatch.simulated_beamline.experiment import Experiment, FrameTruth

__all__ = ["FurnaceController", "FurnaceSetpoint", "Monitor", "Stage", "TruthRecorder"]


class Monitor(Signal):
    """The I0 ion chamber: counts over the latest exposure. Read only.

    Parameters
    ----------
    name : str
        Its data key.
    experiment : Experiment
    """

    def __init__(self, *, name: str, experiment: Experiment) -> None:
        self._experiment = experiment
        super().__init__(name=name, value=0.0)

    def get(self, **kwargs: Any) -> float:
        """Counts; ophyd's options change nothing."""
        return self._experiment.i0

    def put(self, value: float, **kwargs: Any) -> None:
        """Refuse: a monitor is read.

        Raises
        ------
        ReadOnlyError
            Always.
        """
        msg = f"{self.name} counts photons and takes no {value}; move something else."
        raise ReadOnlyError(msg)

    def read(self) -> dict[str, Any]:
        """Counts of the latest exposure."""
        return {self.name: {"value": self.get(), "timestamp": time.time()}}


class Stage(SoftPositioner):
    """A motor that moves something in the experiment, at once.

    Parameters
    ----------
    name : str
        Its data key.
    experiment : Experiment
    attribute : str
        What it moves: ``sample_y``, ``detector_x`` (mm) or ``shutter_open``.
    egu : str
        Unit.
    """

    def __init__(
        self, *, name: str, experiment: Experiment, attribute: str, egu: str = "mm"
    ) -> None:
        self._experiment, self._attribute = experiment, attribute
        super().__init__(
            name=name, egu=egu, init_pos=float(getattr(experiment, attribute))
        )

    def _setup_move(self, position: float, status: MoveStatus) -> None:
        kind = type(getattr(self._experiment, self._attribute))
        setattr(self._experiment, self._attribute, kind(position))
        super()._setup_move(position, status)


class FurnaceSetpoint(SoftPositioner):
    """Where the furnace goes: a move is done at once, the furnace follows in time.

    Parameters
    ----------
    name : str
        Its data key.
    experiment : Experiment
    """

    def __init__(self, *, name: str, experiment: Experiment) -> None:
        self._experiment = experiment
        super().__init__(name=name, egu="K", init_pos=experiment.furnace.thermocouple)

    def _setup_move(self, position: float, status: MoveStatus) -> None:
        self._begin(position)
        super()._setup_move(position, status)

    def _begin(self, position: float) -> None:
        self._experiment.furnace.ramp_to(position)


class FurnaceController(FurnaceSetpoint):
    """The furnace: a move ramps the thermocouple there, in simulated time.

    Its reading is the thermocouple's; the sample lags behind it.

    Parameters
    ----------
    name : str
        Its data key.
    experiment : Experiment
    """

    @property
    def position(self) -> float:
        """Thermocouple, kelvin."""
        return self._experiment.furnace.thermocouple

    def _begin(self, position: float) -> None:
        self._experiment.clock.advance(self._experiment.furnace.ramp_to(position))


class TruthRecorder(Device):
    """Tells the truth of one frame per trigger, oldest first.

    Meant for a stream of its own, ``truth``, that no agent may read.

    Parameters
    ----------
    name : str
        Prefix of its data keys.
    experiment : Experiment
    """

    def __init__(self, *, name: str = "truth", experiment: Experiment) -> None:
        super().__init__("", name=name)
        self._experiment = experiment
        self._told = 0
        self._truth: FrameTruth | None = None

    def stage(self) -> list[object]:
        """Begin a run: the truth of frames taken before it is not told."""
        self._told = len(self._experiment.truths)
        devices: list[object] = super().stage()
        return devices

    @property
    def pending(self) -> int:
        """Frames whose truth is not told yet."""
        return len(self._experiment.truths) - self._told

    def trigger(self) -> DeviceStatus:
        """Go to the next frame.

        Raises
        ------
        RuntimeError
            If the truth of all frames is told.
        """
        if not self.pending:
            msg = f"{self.name}: no frame was taken since the last; expose one first."
            raise RuntimeError(msg)
        self._truth = self._experiment.truths[self._told]
        self._told += 1
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def _values(self) -> dict[str, Any]:
        truth = self._truth
        if truth is None:
            msg = f"{self.name} was not triggered; nothing to read yet."
            raise RuntimeError(msg)
        # Plans pass numbers of numpy on; documents hold Python's own.
        return {
            "index": int(truth.index),
            "shot": int(truth.shot),
            "light": int(truth.light),
            "temperature": float(truth.temperature),
            "phase": str(truth.phase),
            "fractions": [float(share) for share in truth.fractions],
            "center_x_px": float(truth.center_px[0]),
            "center_y_px": float(truth.center_px[1]),
            "beam": float(truth.beam),
            "fault": ",".join(truth.faults),
        }

    def read(self) -> dict[str, Any]:
        """Values of the frame of the latest trigger."""
        now = time.time()
        return {
            f"{self.name}_{key}": {"value": value, "timestamp": now}
            for key, value in self._values().items()
        }

    def describe(self) -> dict[str, Any]:
        """Type of each value; ``fractions`` in the order of the sample's phases."""
        numpy_types = {int: "<i8", float: "<f8", str: "<U128"}
        types = {int: "integer", float: "number", str: "string"}
        keys: dict[str, Any] = {}
        for key, value in self._values().items():
            array = isinstance(value, list)
            kind = float if array else type(value)
            keys[f"{self.name}_{key}"] = {
                "source": f"SIM:{self.name}",
                "dtype": "array" if array else types[kind],
                "dtype_numpy": numpy_types[kind],
                "shape": [len(value)] if array else [],
            }
        return keys
