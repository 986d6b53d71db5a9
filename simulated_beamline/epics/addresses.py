"""Where Channel Access looks for IOCs: the loopback interface, on ports of our own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping

from ringwatch.simulated_beamline.epics.repeater import start_repeater

__all__ = ["MOST_IOCS", "claim_port", "release_port", "server_environment"]

MOST_IOCS = 4
"""Simulated IOCs that one process can talk to at a time.

libca reads the list of addresses once, with the first process variable: it must name
the ports of all that may come.
"""

_LOOPBACK = "127.0.0.1"
_lock = threading.Lock()
_free: list[int] = []
_environment: dict[str, str] = {}


def claim_port() -> int:
    """A port for one more IOC; Channel Access of this process looks for it there.

    Must be called before the first process variable of this process is made. The
    environment's own ``EPICS_CA_*`` no longer count then: nothing beyond the loopback
    interface is looked for.

    Raises
    ------
    RuntimeError
        If ``MOST_IOCS`` are claimed.
    """
    with _lock:
        if not _environment:
            _free.extend(_unused_ports(MOST_IOCS))
            _environment.update(
                EPICS_CA_ADDR_LIST=" ".join(f"{_LOOPBACK}:{port}" for port in _free),
                EPICS_CA_AUTO_ADDR_LIST="NO",
                EPICS_CA_NAME_SERVERS="",
                EPICS_CA_REPEATER_PORT=str(start_repeater()),
            )
            os.environ.update(_environment)
        if not _free:
            msg = (
                f"{MOST_IOCS} simulated IOCs run already, and this process has no port "
                "for another; close one first."
            )
            raise RuntimeError(msg)
        return _free.pop(0)


def release_port(port: int) -> None:
    """Give the port of an IOC back that runs no longer."""
    with _lock:
        _free.append(port)


def server_environment(port: int) -> Mapping[str, str]:
    """What the process of an IOC on this port must have in its environment."""
    return _environment | {
        # It serves and asks nobody: libca would listen on all interfaces.
        "OPHYD_CONTROL_LAYER": "dummy",
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CAS_SERVER_PORT": str(port),
        "EPICS_CAS_INTF_ADDR_LIST": _LOOPBACK,
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": _LOOPBACK,
        "EPICS_CAS_BEACON_PORT": _environment["EPICS_CA_REPEATER_PORT"],
    }


def _unused_ports(number: int) -> list[int]:
    """Ports that are free for both TCP and UDP, all different."""
    held: list[socket.socket] = []
    ports: list[int] = []
    try:
        while len(ports) < number:
            stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            held += [stream, datagrams]
            stream.bind((_LOOPBACK, 0))
            port: int = stream.getsockname()[1]
            try:
                datagrams.bind((_LOOPBACK, port))
            except OSError:
                continue
            ports.append(port)
    finally:
        for each in held:
            each.close()
    return ports
