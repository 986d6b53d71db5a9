"""Process variables that clients ask for and that nothing stands behind.

Stock ophyd classes name hundreds; staging hangs where one that is read is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from caproto import ChannelData, ChannelDouble, ChannelString
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.areadetector import EpicsSignalWithRBV

__all__ = ["placeholders"]


def placeholders(
    known: Iterable[str], devices: Mapping[str, Any]
) -> dict[str, ChannelData]:
    """Channels for all that the devices name and that is not known yet.

    Parameters
    ----------
    known : iterable of str
        Names that are served already.
    devices : mapping of str to ophyd Device class
        By prefix.

    Returns
    -------
    dict of str to ChannelData
        A setpoint and its readback are one channel: what is set can be read.
    """
    found: dict[str, ChannelData] = {}
    known = set(known)
    for prefix, device in devices.items():
        for walked in device.walk_components():
            component = walked.item
            kind = component.cls
            if not issubclass(kind, EpicsSignal | EpicsSignalRO):
                continue
            text = component.kwargs.get("string")
            channel = ChannelString(value="") if text else ChannelDouble(value=0.0)
            name = prefix + component.suffix
            names = [name]
            if issubclass(kind, EpicsSignalWithRBV):
                names.append(f"{name}_RBV")
            for each in names:
                if each not in known:
                    found.setdefault(each, channel)
    return found
