"""A repeater for Channel Access beacons that listens on the loopback interface only.

libca looks for one when the first process variable is made. Where there is none it
starts ``caRepeater``, which outlives us, or listens itself, on all interfaces.
"""

from __future__ import annotations

import socket
import struct
import threading

__all__ = ["start_repeater"]

_LOOPBACK = "127.0.0.1"
_REGISTER, _CONFIRM = 24, 17  # Channel Access protocol, repeater commands
_HEADER = struct.Struct(">HHHHII")


def start_repeater() -> int:
    """Answer whoever registers, in a thread that ends with the process.

    Beacons are not passed on: they tell of IOCs that come back, and ours do not.

    Returns
    -------
    int
        Port.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind((_LOOPBACK, 0))
    port: int = listening.getsockname()[1]
    threading.Thread(
        target=_answer, args=(listening,), name="ca-repeater", daemon=True
    ).start()
    return port


def _answer(listening: socket.socket) -> None:
    itself = int.from_bytes(socket.inet_aton(_LOOPBACK))
    while True:
        message, sender = listening.recvfrom(1024)
        # Old clients register by an empty message.
        if not message or message[:2] == _REGISTER.to_bytes(2):
            listening.sendto(_HEADER.pack(_CONFIRM, 0, 0, 0, 0, itself), sender)
