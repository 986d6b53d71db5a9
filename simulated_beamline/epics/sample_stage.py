"""Process variables of all that is not the detector: motors, shutter, furnace."""

from __future__ import annotations

import asyncio
from typing import Any

from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from ringwatch.simulated_beamline.epics.pairs import reading, state
from ringwatch.simulated_beamline.experiment import Experiment

__all__ = ["FurnaceRecord", "MotorRecord", "ShutterRecord"]

_TICK_S = 0.02
_PULSE_S = 0.005
"""How long a furnace that is there already says that it is not, seconds."""


class MotorRecord(PVGroup):
    """A motor record that moves an attribute of the experiment, in wall time.

    Parameters
    ----------
    prefix : str
        Of its process variables.
    experiment : Experiment
    attribute : str
        ``sample_y`` or ``detector_x``, mm.
    velocity : float
        mm/s.
    limits : (low, high)
        mm.
    """

    async def _obey(self, instance: Any, async_lib: Any) -> None:
        """Obey orders for as long as the server runs."""
        fields = instance.field_inst
        low, high = self._limits
        await fields.velocity.write(self._velocity)
        await fields.user_low_limit.write(low)
        await fields.user_high_limit.write(high)
        # Clients read the limits here, and what is beyond them is refused.
        await instance.write_metadata(lower_ctrl_limit=low, upper_ctrl_limit=high)
        await instance.write(self._position)
        await self._show_position(fields)

        async def order(fields: Any, value: float) -> None:
            self._orders.put_nowait(float(value))

        fields.value_write_hook = order
        while True:
            await self._travel(instance, fields, await self._orders.get())

    setpoint = pvproperty(
        name="", value=0.0, record="motor", precision=4, units="mm", startup=_obey
    )

    def __init__(
        self,
        prefix: str,
        *,
        experiment: Experiment,
        attribute: str,
        velocity: float = 50.0,
        limits: tuple[float, float] = (-50.0, 50.0),
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, **kwargs)
        self._experiment, self._attribute = experiment, attribute
        self._velocity, self._limits = velocity, limits
        self._orders: asyncio.Queue[float] = asyncio.Queue()

    @property
    def _position(self) -> float:
        return float(getattr(self._experiment, self._attribute))

    async def _travel(self, instance: Any, fields: Any, target: float) -> None:
        await fields.stop.write(0)
        # A null move pulses, too: clients wait for the edge.
        await fields.done_moving_to_value.write(0)
        await fields.motor_is_moving.write(1)
        while self._position != target and not fields.stop.value:
            await self._step(fields, target)
            if not self._orders.empty():
                target = self._orders.get_nowait()
        if fields.stop.value:
            await fields.stop.write(0)
            await instance.write(self._position)
            while not self._orders.empty():  # that write was one of them
                self._orders.get_nowait()
        await fields.motor_is_moving.write(0)
        await fields.done_moving_to_value.write(1)

    async def _step(self, fields: Any, target: float) -> None:
        left, step = target - self._position, fields.velocity.value * _TICK_S
        await fields.direction_of_travel.write(int(left > 0))
        if abs(left) > step:
            position = self._position + (step if left > 0 else -step)
        else:  # on the target itself, to the last bit
            position = target
        setattr(self._experiment, self._attribute, position)
        await self._show_position(fields)
        await asyncio.sleep(_TICK_S)

    async def _show_position(self, fields: Any) -> None:
        await fields.user_readback_value.write(self._position)
        await fields.dial_readback_value.write(self._position)


class ShutterRecord(PVGroup):
    """The photon shutter: ``CMD`` is an order, ``POS`` says where it is.

    Parameters
    ----------
    prefix : str
        Of its process variables.
    experiment : Experiment
    """

    async def _move(self, instance: Any, value: str) -> None:
        self._experiment.shutter_open = value == "Open"
        await self.position.write("Open" if value == "Open" else "Closed")

    command = pvproperty(
        name="CMD",
        value="Open",
        dtype=ChannelType.ENUM,
        enum_strings=["Close", "Open"],
        put=_move,
    )
    position = state("POS", ("Closed", "Open"), "Open")

    def __init__(self, prefix: str, *, experiment: Experiment, **kwargs: Any) -> None:
        super().__init__(prefix, **kwargs)
        self._experiment = experiment


class FurnaceRecord(PVGroup):
    """The furnace: a setpoint ramps the thermocouple there, in simulated time.

    Parameters
    ----------
    prefix : str
        Of its process variables.
    experiment : Experiment
    """

    async def _ramp(self, instance: Any, value: float) -> None:
        """Ramp; ``DONE`` pulses for a null move, too, as clients wait for its edge."""
        experiment, kelvin = self._experiment, float(value)
        await self.done.write(0)
        experiment.clock.advance(experiment.furnace.ramp_to(kelvin))
        await self.update()
        await asyncio.sleep(_PULSE_S)
        await self.done.write(1)

    setpoint = pvproperty(name="SP", value=0.0, units="K", precision=3, put=_ramp)
    readback = reading("RBV", 0.0, units="K", precision=3)
    done = reading("DONE", 1)

    def __init__(self, prefix: str, *, experiment: Experiment, **kwargs: Any) -> None:
        super().__init__(prefix, **kwargs)
        self._experiment = experiment

    async def prepare(self) -> None:
        """Say where the furnace is, before clients come. No put: nothing ramps."""
        await self.setpoint.write(
            self._experiment.furnace.thermocouple, verify_value=False
        )
        await self.update()

    async def update(self) -> None:
        """Read the thermocouple."""
        await self.readback.write(self._experiment.furnace.thermocouple)
