"""A film that grows while its source is open: what a plan may want to stop."""

from __future__ import annotations

import math

from ringwatch.simulated_beamline.beam import Clock

__all__ = ["Growth"]


class Growth:
    """A glass that crystallizes exponentially, in simulated time.

    While the source is open, ``d(share)/dt = rate * share`` for the share of the film
    that is crystalline; closed, it stays. Solved in closed form, so that the
    result does not depend on how often it is asked.

    Parameters
    ----------
    clock : Clock
    start : float
        Crystalline share at the beginning, above 0, at most 1.
    rate : float
        1/s, above 0.

    Raises
    ------
    ValueError
        If start or rate is out of its range.
    """

    def __init__(
        self, clock: Clock, *, start: float = 0.05, rate: float = 0.05
    ) -> None:
        if not (0.0 < start <= 1.0 and rate > 0.0):
            msg = (
                f"Growth from {start} at {rate} 1/s; expected a share above 0 and at "
                "most 1, and a rate above 0."
            )
            raise ValueError(msg)
        self._clock = clock
        self.rate = rate
        self._share = start
        self._since = clock.now
        self._open = True

    @property
    def source_open(self) -> bool:
        """Whether the source is open and the film grows."""
        return self._open

    @source_open.setter
    def source_open(self, position: bool) -> None:
        self._update()
        self._open = bool(position)

    @property
    def share(self) -> float:
        """Crystalline share of the film now, 0..1."""
        self._update()
        return self._share

    def mean_share(self, seconds: float) -> float:
        """Mean of the share over an exposure that begins now."""
        self._update()
        if not self._open:
            return self._share
        whole = -math.log(self._share) / self.rate  # seconds until all is crystalline
        growing = min(seconds, whole)
        grown = self._share * math.expm1(self.rate * growing) / self.rate
        return (grown + seconds - growing) / seconds if seconds else self._share

    def _update(self) -> None:
        elapsed = self._clock.now - self._since
        self._since = self._clock.now
        if self._open:
            self._share = min(1.0, self._share * math.exp(self.rate * elapsed))
