"""What can go wrong between the sensor and the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ringwatch.simulated_beamline.conditions import Fault

__all__ = [
    "Duplicate",
    "Flipped",
    "HalfRead",
    "HotPixels",
    "NotANumber",
    "SaturatedPixel",
    "Zingers",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Fault):
    """A stuck buffer: the bytes of the previous frame once more."""

    flag: ClassVar[str] = "duplicate"

    def corrupt(
        self,
        pixels: NDArray[Any],
        previous: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """The previous frame, where there is one."""
        return pixels if previous is None else previous.copy()


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfRead(Fault):
    """The readout breaks off: the rows after half the frame are 0."""

    flag: ClassVar[str] = "misread"

    def corrupt(
        self,
        pixels: NDArray[Any],
        previous: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """Upper half and nothing."""
        broken = pixels.copy()
        broken[len(broken) // 2 :] = 0
        return broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Flipped(Fault):
    """The rows come in reverse order."""

    flag: ClassVar[str] = "misread"

    def corrupt(
        self,
        pixels: NDArray[Any],
        previous: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """Upside down."""
        return np.ascontiguousarray(pixels[::-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class NotANumber(Fault):
    """``count`` pixels at random are NaN; needs a detector of a float type."""

    flag: ClassVar[str] = "invalid_values"
    count: int = 100

    def corrupt(
        self,
        pixels: NDArray[Any],
        previous: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """Some pixels lost.

        Raises
        ------
        ValueError
            If the pixels are whole numbers, which know no NaN.
        """
        if not np.issubdtype(pixels.dtype, np.floating):
            msg = (
                f"Pixels of type {pixels.dtype} cannot be NaN; give the detector model "
                "a float dtype, or leave this fault out."
            )
            raise ValueError(msg)
        return _scattered(pixels, self.count, np.nan, rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class HotPixels(Fault):
    """``count`` pixels, the same in each frame, stuck at ``value`` counts."""

    flag: ClassVar[str] = "hot_pixels"
    count: int = 200
    value: int = 5000

    def corrupt(
        self,
        pixels: NDArray[Any],
        previous: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """The same places whatever the frame."""
        same = np.random.default_rng([self.first, self.count])
        return _scattered(pixels, self.count, self.value, same)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zingers(Fault):
    """``count`` pixels, others in each frame, hit for ``value`` counts."""

    flag: ClassVar[str] = "zingers"
    count: int = 200
    value: int = 5000

    def corrupt(
        self,
        pixels: NDArray[Any],
        previous: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """Random places."""
        return _scattered(pixels, self.count, self.value, rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturatedPixel(Fault):
    """The brightest pixel of the frame, on a ring, reads ``value``: full scale.

    Attributes
    ----------
    value : int
        The detector's ``saturation_value``; larger values mark invalid pixels.
    """

    flag: ClassVar[str] = "saturated"
    value: int = 65534

    def corrupt(
        self,
        pixels: NDArray[Any],
        previous: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """One pixel at full scale."""
        struck = pixels.copy()
        valid = np.where(pixels <= self.value, pixels, 0)
        struck.reshape(-1)[int(np.argmax(valid))] = self.value
        return struck


def _scattered(
    pixels: NDArray[Any], count: int, value: float, rng: np.random.Generator
) -> NDArray[Any]:
    struck = pixels.copy()
    struck.reshape(-1)[rng.choice(pixels.size, count, replace=False)] = value
    return struck
