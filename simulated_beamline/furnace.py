"""A furnace: the thermocouple ramps, the sample follows with a lag."""

from __future__ import annotations

import math

from ringwatch.simulated_beamline.beam import Clock

__all__ = ["Furnace"]


class Furnace:
    """Temperatures in kelvin, advanced by the simulated clock.

    The thermocouple ramps at a constant rate to the setpoint and stays. The sample
    obeys ``lag_s * dT/dt = thermocouple - T``, solved in closed form, so that the
    result does not depend on how often it is asked.

    Parameters
    ----------
    clock : Clock
    temperature : float
        At the start, kelvin.
    rate : float
        Ramp, K/s, above 0.
    lag_s : float
        Seconds, above 0.

    Raises
    ------
    ValueError
        If rate or lag is not above 0.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        temperature: float = 298.0,
        rate: float = 1.0,
        lag_s: float = 2.0,
    ) -> None:
        if not (rate > 0.0 and lag_s > 0.0):
            msg = f"Furnace with rate {rate} K/s and lag {lag_s} s; both must exceed 0."
            raise ValueError(msg)
        self._clock = clock
        self._rate, self._lag = rate, lag_s
        self._setpoint = self._thermocouple = self._sample = temperature
        self._since = clock.now

    @property
    def thermocouple(self) -> float:
        """What the controller reads, kelvin."""
        self._update()
        return self._thermocouple

    @property
    def sample(self) -> float:
        """What the sample has, kelvin."""
        self._update()
        return self._sample

    def ramp_to(self, setpoint: float) -> float:
        """Set the setpoint (kelvin) and return how long the ramp will take, seconds."""
        self._update()
        self._setpoint = setpoint
        return abs(setpoint - self._thermocouple) / self._rate

    def _update(self) -> None:
        elapsed = self._clock.now - self._since
        if not elapsed:  # asked twice: not even the last bit may depend on that
            return
        self._since = self._clock.now
        distance = self._setpoint - self._thermocouple
        ramping = min(elapsed, abs(distance) / self._rate)
        self._follow(ramping, math.copysign(self._rate, distance))
        if ramping < elapsed:
            self._thermocouple = self._setpoint
            self._follow(elapsed - ramping, 0.0)

    def _follow(self, seconds: float, rate: float) -> None:
        # First-order lag behind u(t) = u0 + rate t:
        # T(t) = u(t) - rate lag + (T0 - u0 + rate lag) exp(-t / lag)
        behind = self._sample - self._thermocouple + rate * self._lag
        self._thermocouple += rate * seconds
        self._sample = (
            self._thermocouple
            - rate * self._lag
            + behind * math.exp(-seconds / self._lag)
        )
