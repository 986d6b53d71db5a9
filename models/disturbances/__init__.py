"""What instruments, samples and counting make of a pattern."""

from ringwatch.models.disturbances.patterns import Disturbances
from ringwatch.models.disturbances.settings import DisturbanceSettings

__all__ = ["DisturbanceSettings", "Disturbances"]
