"""How much the rings scatter about their common scale, learnt from the run itself.

With few rings a frame hardly knows its own scatter, and Student's threshold for two or
three degrees of freedom is out of reach. Counting statistics are known, but a sample
whose grains move scatters its rings beyond them. The frames before tell by how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ringwatch.agent.quality.geometry.scale_fit import ScaleFit

__all__ = ["RingHistory"]

_BY_CHANCE = 2.0  # a few rings may scatter by so much more variance than usual
_MEMORY = 30.0  # degrees of freedom; older frames are forgotten


class RingHistory:
    """Variance of the rings' scale over that of counting, over the frames before."""

    def __init__(self) -> None:
        self._sum = self._freedom = 0.0

    def learn(self, fit: ScaleFit | None, *, share: float = 1.0) -> None:
        """Take in a frame.

        Parameters
        ----------
        fit : ScaleFit or None
        share : float
            Of the frame's variance and freedom that is its own, where it is part of
            what it was compared with.
        """
        if fit is None or not fit.counting > 0.0:
            return
        freedom = share * fit.freedom
        if not freedom > 0.0:
            return
        self._sum += freedom * (fit.scatter / fit.counting) ** 2
        self._freedom += freedom
        if self._freedom > _MEMORY:
            self._sum *= _MEMORY / self._freedom
            self._freedom = _MEMORY

    def learn_reference(self, fits: Iterable[ScaleFit | None]) -> None:
        """Take in the frames that made the reference, each compared with it.

        A frame less the mean of ``n``, itself among them, has ``(n - 1) / (n + 1)`` of
        the variance that a later frame less that mean has.
        """
        every = list(fits)
        n = len(every)
        for fit in every:
            self.learn(fit, share=(n - 1.0) / n)
        self._sum *= (n + 1.0) / max(n - 1.0, 1.0)

    def error(self, fit: ScaleFit) -> tuple[float, float]:
        """Standard deviation of the scale, and its degrees of freedom.

        The variance of this frame and of those before, each by its freedom. Where this
        frame scatters more than those before, they count less: other grains.
        """
        if not self._freedom > 0.0:
            return fit.sigma, fit.freedom
        before = max(self._sum / self._freedom, 1.0) * fit.counting**2
        own = fit.sigma**2
        freedom = self._freedom / max(own / before / _BY_CHANCE, 1.0) ** 2
        both = (fit.freedom * own + freedom * before) / (fit.freedom + freedom)
        return math.sqrt(both), fit.freedom + freedom
