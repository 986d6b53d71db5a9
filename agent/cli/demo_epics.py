"""The demo's beamline over Channel Access, and what the soft devices say beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ringwatch.agent.cli.compare import BOOKKEEPING, Difference, differences
from ringwatch.agent.errors import RingwatchError, SettingsError
from ringwatch.simulated_beamline.epics.beamline import EpicsBeamline
from ringwatch.simulated_beamline.epics.ioc_process import IocProcess, missing_packages

__all__ = ["check_extra", "epics_beamline", "unlike_soft_devices"]

Documents = Iterable[tuple[str, dict[str, Any]]]

_OF_THE_RUN = frozenset({"raw_time", "dark_age_s"})
"""Fields that differ between two runs by nature: when frames were taken."""


def check_extra() -> None:
    """Make sure that Channel Access can be spoken.

    Raises
    ------
    SettingsError
        If the extra ``epics`` is not installed.
    """
    if missing := missing_packages():
        raise SettingsError(
            f"--epics needs {', '.join(missing)}: install them by "
            "`pip install 'ringwatch[epics]'`, in a checkout by "
            "`make demo EXTRAS=epics OPTIONS=--epics`"
        )


@contextlib.contextmanager
def epics_beamline(scenario: Any, folder: Path) -> Iterator[EpicsBeamline]:
    """A scenario's beamline in a process of its own, with EPICS devices before it.

    Parameters
    ----------
    scenario : a scenario of ``simulated_beamline.scenarios``
    folder : Path
        Where the process writes.

    Raises
    ------
    RingwatchError
        If the process does not come up, cannot be reached, or dies.
    """
    with contextlib.ExitStack() as running:
        try:
            ioc = running.enter_context(IocProcess(scenario, folder))
            beamline = running.enter_context(EpicsBeamline(ioc))
        except RuntimeError as error:
            raise RingwatchError(str(error)) from error
        try:
            yield beamline
        except Exception as error:
            if ioc.is_running:
                raise
            raise RingwatchError(
                f"the simulated IOC died during the scan ({error}); its last words: "
                f"{ioc.last_words}"
            ) from error


def unlike_soft_devices(epics: Documents, soft: Documents) -> list[Difference]:
    """What differs between the verdicts of the same scan over either kind of devices.

    Two runs have their own uids and times; all else is compared, to the last bit.
    """
    epics = list(epics)
    uid = next((doc["raw_uid"] for name, doc in epics if name == "start"), "")
    renamed = (
        (name, {**doc, "raw_uid": uid} if name == "start" else doc)
        for name, doc in soft
    )
    return differences(epics, renamed, leaving_out=BOOKKEEPING | _OF_THE_RUN)
