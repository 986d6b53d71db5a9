"""What a beamline does to a service in weeks, in minutes.

Quick forms run with all other tests; ``make endure`` sets ``RINGWATCH_ENDURE=full``.
Where that follows, ``later`` leaves most quick forms out. At
the end of a session the figures that were measured are printed beside their limits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .service import kill_all

FULL = os.environ.get("RINGWATCH_ENDURE") == "full"
"""Whether the full figures are asked for."""

collect_ignore_glob: list[str] = []
if os.environ.get("RINGWATCH_ENDURE") == "later":  # the full form follows, in CI
    here = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    # These two look at something in their quick form only.
    collect_ignore_glob = sorted(here - {"test_fuzz.py", "test_growth.py"})


def measures_time(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs the machine for itself at full length."""
    return pytest.mark.alone(test) if FULL else test


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Those that may last longest go first; a process has two at once: a short beside.

    What waits behind a long one waits until that is through, while others are idle.
    """
    if not FULL:
        return
    longest = float(config.getini("timeout"))

    def lasts(item: pytest.Item) -> float:
        marked = item.get_closest_marker("timeout")
        return float(marked.args[0]) if marked else longest

    items.sort(key=lasts, reverse=True)
    for process in range(getattr(config, "workerinput", {}).get("workercount", 0)):
        items.insert(2 * process + 1, items.pop())


@pytest.fixture(autouse=True)
def no_service_is_left() -> Iterator[None]:
    """A test that fails leaves no process behind."""
    yield
    kill_all()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, object, str], None]:
    """Takes a measured figure for the table at the end: name, value, limit."""

    def take(name: str, value: object, limit: str = "") -> None:
        told = f"{value:,.3g}" if isinstance(value, float) else str(value)
        request.node.user_properties.append(("figure", (name, told, limit)))

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured, in whichever process that was."""
    figures = [
        told
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
        for key, told in report.user_properties
        if key == "figure"
    ]
    if not figures:
        return
    terminalreporter.section(f"endurance, {'full' if FULL else 'quick'} form")
    rows = [("measured", "value", "limit"), *figures]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        terminalreporter.write_line("  ".join(cells).rstrip())
