"""Beam, monitor, sample, counts."""
