"""What people say of frames: kept apart, never overwritten, for people and machines."""

from __future__ import annotations

from ringwatch.agent.labels.label import SAYS, FrameKey, Label, machine_said
from ringwatch.agent.labels.store import LabelStore, labels_folder

__all__ = ["SAYS", "FrameKey", "Label", "LabelStore", "labels_folder", "machine_said"]
