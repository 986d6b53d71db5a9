"""Reference pages made from the code, each time the documentation is built.

Nothing here is committed: what the code says of itself is the one source. A field that
nobody described, or a setting without a word, ends the build.
"""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from field_meanings import MEANINGS, VALUES
from settings_page import settings_lines
from typer.main import get_command

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.cli import COMMANDS, app
from ringwatch.agent.cli.unit_file import unit_file
from ringwatch.agent.fields import ARRAYS, PATTERNS, SCALARS
from ringwatch.agent.flags import Flag
from ringwatch.agent.inbox import Inbox
from ringwatch.agent.metrics import AgentCollector
from ringwatch.agent.quality import VALUE_UNITS
from ringwatch.agent.settings import Settings
from ringwatch.agent.sinks.memory import MemorySink
from ringwatch.agent.worker import Worker
from ringwatch.simulated_beamline.scenarios import powder_beamline

__all__ = ["write_pages"]

_OBJECTS = (
    "ringwatch.agent.agent.Agent",
    "ringwatch.models.classifier.Classifier",
    "ringwatch.agent.quality.caked.CakedSeries",
    "ringwatch.plans.verdicts.Verdicts",
    "ringwatch.plans.remote_verdicts.RemoteVerdicts",
    "ringwatch.plans.signals.AgentSignals",
    "ringwatch.plans.publisher.DocumentPublisher",
    "ringwatch.plans.conditions.verdict_is",
    "ringwatch.plans.conditions.flag_is",
    "ringwatch.plans.conditions.label_is",
    "ringwatch.plans.reaching.reaches",
    "ringwatch.plans.stop_when.stop_when",
    "ringwatch.plans.skip_bad.skip_bad",
    "ringwatch.plans.retake.retake",
    "ringwatch.plans.recenter.recenter",
    "ringwatch.plans.maximize.maximize",
    "ringwatch.plans.until_confident.until_confident",
    "ringwatch.plans.next_sample.next_sample",
    "ringwatch.plans.suspenders.SuspendOnAlarm",
    "ringwatch.plans.suspenders.SuspendWithoutAgent",
)


_COMMANDS = """\
# Commands

`ringwatch --version` prints the version. Each command has `--help`. What Ringwatch
itself reports is one line on standard error, and exit status 2 (78 of `serve`)."""
_OF_FRAMES = """\
# Published fields

What an event of a derived run holds, over 0MQ and in Tiled: one event for each revision
of a verdict. What is absent is said in band: empty text, NaN, -1 for numbers of classes
and groups.

## Of every frame

| field | type | unit | what it says |
|---|---|---|---|"""
_OF_FLAGS = """
`q` (1/Angstrom, bin centres of every pattern) is in the configuration of the
descriptor, once.

## Of each flag

`z_<flag>` is the size over its standard deviation; the value has the unit that stands
here. Bits are those of `dq` and `dq_evaluated`.

| flag | bit | severity | value | unit |
|---|---|---|---|---|"""
_FURTHER = """
## Further values

| field | unit | what it says |
|---|---|---|"""
_METRICS = """\
# Metrics

With `metrics = "127.0.0.1:9578"` the agent serves them at `/metrics`, in the format of
Prometheus; `ringwatch status` reads the same. `/healthz` and `/readyz` are beside them
([how to monitor](../../how-to/monitor.md)).

| metric | kind | labels | what it says |
|---|---|---|---|"""
_UNIT = """\
# The systemd unit

What `ringwatch serve --config /etc/ringwatch/agent.toml --unit` prints, where the
program is in `/opt/ringwatch` and `state = "/var/lib/ringwatch"`.

```ini"""


def write_pages(folder: Path) -> None:
    """Write all pages into a folder, which is made; those that did not change stay."""
    folder.mkdir(parents=True, exist_ok=True)
    pages: dict[str, Callable[[], Iterator[str]]] = {
        "settings": settings_lines,
        "commands": _commands,
        "fields": _fields,
        "metrics": _metrics,
        "python": _python,
        "unit": _unit,
        "model_card": _model_card,
    }
    for name, lines in pages.items():
        text = "\n".join(lines()) + "\n"
        page = folder / f"{name}.md"
        if not page.is_file() or page.read_text() != text:  # else Sphinx reads it anew
            page.write_text(text)


def _commands() -> Iterator[str]:
    yield _COMMANDS
    group: Any = get_command(app)
    above = group.make_context("ringwatch", [], resilient_parsing=True)
    for name in COMMANDS:
        _, command, _ = group.resolve_command(above, [name])
        context = command.make_context(name, [], above, resilient_parsing=True)
        yield from _command(name, command, context)


def _command(name: str, command: Any, context: Any) -> Iterator[str]:
    yield ""
    yield f"## `ringwatch {name}`"
    yield ""
    yield "```text"
    usage = " ".join(command.get_usage(context).split())
    yield usage.removeprefix("Usage: ")
    yield "```"
    yield ""
    yield inspect.cleandoc(command.help or "")
    yield ""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            names, said = record
            yield f"- `{names}`: {_literal(said)}"


def _literal(text: str) -> str:
    """Words in square brackets or angles as they stand, and no links or tags."""
    return re.sub(r"([\[\]<>*_])", r"\\\1", " ".join(text.split()))


def _fields() -> Iterator[str]:
    yield _OF_FRAMES
    for name, (kind, unit) in SCALARS.items():
        yield f"| `{name}` | {kind.__name__} | {unit or ''} | {MEANINGS[name]} |"
    for name, (kind, size) in ARRAYS.items():
        yield f"| `{name}` | ({size},) {kind.__name__} | | {MEANINGS[name]} |"
    for name in PATTERNS:
        meaning = MEANINGS[name]
        yield f"| `{name}` | (n,) float | counts per pixel | {meaning} |"
    yield _OF_FLAGS
    for flag in Flag:
        page = f"[`{flag.label}`](../../flags/{flag.label}.md)"
        severity = flag.severity.value
        yield (
            f"| {page} | {flag.bit} | {severity} | `{flag.value_key}` | {flag.unit} |"
        )
    yield _FURTHER
    for name, unit in VALUE_UNITS.items():
        yield f"| `{name}` | {unit} | {VALUES[name]} |"


def _metrics() -> Iterator[str]:
    yield _METRICS
    with tempfile.TemporaryDirectory() as scratch:
        poni = powder_beamline(Path(scratch), detector=64).poni_path
        settings = Settings(poni=poni, classifier="none")
        analysis, sinks = Analysis(settings, None), [MemorySink()]
        inbox = Inbox(max_bytes=1, max_items=1)
        worker = Worker(analysis, inbox, [*sinks])
        collector = AgentCollector(analysis, worker, inbox, sinks, lambda: 0)
        for family in collector.collect():
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            labels = ", ".join(getattr(family, "_labelnames", ()) or ())
            said = _literal(family.documentation)
            yield f"| `{family.name}{suffix}` | {family.type} | {labels} | {said} |"


def _python() -> Iterator[str]:
    yield "# Python"
    yield ""
    yield "What a profile or a plan uses, as `help(...)` prints it."
    for path in _OBJECTS:
        module, _, name = path.rpartition(".")
        found = getattr(import_module(module), name)
        shown = "ringwatch.agent.Agent" if name == "Agent" else path
        yield ""
        yield f"## `{name}`"
        yield ""
        yield f"`from {shown.rpartition('.')[0]} import {name}`"
        yield ""
        yield "```text"
        yield f"{name}{inspect.signature(found)}"
        yield ""
        yield inspect.getdoc(found) or ""
        yield "```"


def _unit() -> Iterator[str]:
    yield _UNIT
    yield unit_file(
        Path("/opt/ringwatch/bin/ringwatch"),
        Path("/etc/ringwatch/agent.toml"),
        Settings(state=Path("/var/lib/ringwatch")),
    ).rstrip()
    yield "```"


def _model_card() -> Iterator[str]:
    card = files("ringwatch.models.weights") / "MODEL_CARD.md"
    yield card.read_text().replace("](../../docs/", "](../../")
