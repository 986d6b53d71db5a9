"""What systemd is told of a service: that it is ready, that it lives, that it ends.

The protocol of sd_notify(3): lines of text in a datagram to the socket that the
environment names as ``NOTIFY_SOCKET``. Without one nothing is told.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping

from ringwatch.agent.status_report import Report

__all__ = ["NotifySocket"]

logger = logging.getLogger(__name__)

_STARTING_S = 0.5  # how often we look whether it is ready
_MICROSECONDS = 1e-6


class NotifySocket:
    """Tells the manager of this service how it is.

    Parameters
    ----------
    environment : mapping, optional
        Where ``NOTIFY_SOCKET`` is taken out, so that no child tells in our name, and
        ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are read; by default the process's own.

    Attributes
    ----------
    interval_s : float
        How often ``pulse`` wants to be called, seconds.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        known = os.environ if environment is None else environment
        path = known.pop("NOTIFY_SOCKET", "")
        # A name that begins with @ is of the abstract namespace: no file.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog_s = _watchdog(known) if path else float("inf")
        self._ready = self._failed = self._stuck = False
        self.interval_s = _STARTING_S

    def pulse(self, report: Report, told: str) -> None:
        """Tell that it is ready, once; that it lives, while something moves.

        Parameters
        ----------
        report : Report
            Of the agent.
        told : str
            One line for ``systemctl status``.
        """
        lines = [f"STATUS={report.why or told}".replace("\n", " ")]
        if report.ready and not self._ready:
            self._ready = True
            self.interval_s = self._watchdog_s / 4
            lines.append("READY=1")
        if report.moves:
            lines.append("WATCHDOG=1")
        elif not self._stuck:
            logger.error("%s: the watchdog is told no more", report.why)
        self._stuck = not report.moves
        self._tell(*lines)

    def stopping(self) -> None:
        """Tell that it works off what waits, and ends."""
        self._tell("STOPPING=1", "STATUS=working off what waits")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failed:
                logger.warning("systemd is not told how the service is: %s", error)
            self._failed = True


def _watchdog(environment: MutableMapping[str, str]) -> float:
    """Seconds within which the manager wants to hear of us; infinite without one."""
    ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    text = environment.get("WATCHDOG_USEC", "")
    if not (ours and text.isascii() and text.isdigit() and int(text)):
        return float("inf")
    return int(text) * _MICROSECONDS
