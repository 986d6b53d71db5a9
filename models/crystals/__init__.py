"""Random crystals of every space group, and decorated structure types, without end."""

from ringwatch.models.crystals.generator import CrystalGenerator, Peaks
from ringwatch.models.crystals.group_priors import natural_prior, training_prior

__all__ = ["CrystalGenerator", "Peaks", "natural_prior", "training_prior"]
