"""The pages in ``docs/flags``: from the table of flags and the benchmark's report.

`python -m ringwatch.benchmarks.flags.pages docs/flags --pictures` writes them anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ringwatch.agent.nouns import Flag, Severity
from ringwatch.agent.quality.texts import TEXTS
from ringwatch.agent.quality.words import CAUSES, NEEDED
from ringwatch.benchmarks.flags.figures import draw_report
from ringwatch.benchmarks.flags.sound_tables import (
    calm,
    false_alarms,
    simple_rules,
    whole_frames,
)
from ringwatch.benchmarks.flags.tables import confused, sight

__all__ = ["REPORT", "index_page", "main", "page"]

REPORT = "report.json"
"""The report that the pages quote, beside them."""

_SEVERITIES = {
    Severity.BAD: "bad: do not use the frame",
    Severity.MISALIGNED: "misaligned",
    Severity.SUSPECT: "suspect: use with care",
    Severity.INFORMATION: "information: no fault",
    Severity.PIPELINE: "the agent's own",
}
_OTHER = {
    Flag.SATURATED: "suspect; bad where the rings lose more than the tolerance",
    Flag.RADIAL_SCALE: "misaligned where a readback of the geometry moved as the rings "
    "say; information where temperature or a new shape of the pattern explains it; "
    "else suspect",
}
_CAUSES_SHOWN = (
    "A line for each injected fault: at the amplitude that was asked to be seen, in "
    "the reference scene; where none was asked, at the strongest that was tried, in "
    "1e+06 counts on the curve's detector, or in those that the amplitude itself "
    "tells. Units are on the flags' pages. Causes that were never named or injected "
    "have no column."
)
Row = Mapping[str, Any]


def page(flag: Flag, report: Row, picture: str) -> str:
    """Text of a flag's page, Markdown.

    Parameters
    ----------
    flag : Flag
    report : mapping
        Of the benchmark.
    picture : str
        Sentence that the agent said of the frame of the picture; empty without one.
    """
    text = TEXTS[flag]
    severity = _OTHER.get(flag, _SEVERITIES[flag.severity])
    needed = " No frame is called good without it." if flag in NEEDED else ""
    lines = [
        f"# `{flag.label}`",
        "",
        (
            f"Bit {flag.bit}. Severity: {severity}. Value: `{flag.value_key}` "
            f"({_unit(flag.unit)}). Place {CAUSES.index(flag) + 1} of {len(CAUSES)} in "
            f"the order of causes.{needed}"
        ),
        "",
        "## What it means",
        "",
        text.meaning,
        "",
        "## What to do",
        "",
        text.remedy,
        "",
        "## What it needs",
        "",
        text.needs,
        "",
        "## How well it sees",
        "",
        *sight(flag, report),
        "",
        "## On frames without a fault",
        "",
        *calm(flag, report),
    ]
    if picture:
        lines += [
            "",
            "## An example (simulated)",
            "",
            f"![{flag.label}](images/{flag.label}.png)",
            "",
            f"> {picture}",
        ]
    return "\n".join(lines) + "\n"


def _unit(unit: str) -> str:
    return {"1": "a share or ratio", "count": "a count"}.get(unit, unit)


def index_page(report: Row) -> str:
    """Text of ``docs/flags/README.md``."""
    lines = [
        "# The flags",
        "",
        (
            "Each frame gets every flag in one of three states: raised, clear, or not "
            "evaluated (and why). The first raised one in this order is the root "
            "cause; the others are told beside it. Two frames in a row that are `bad` "
            "or `misaligned` with the same root cause set off an `alarm`, once per "
            "cause and run (exact flags at the first); `suspect` frames never do. "
            "These pages are made from the "
            "code's own table and the benchmark's report: "
            "`python -m ringwatch.benchmarks.flags.pages docs/flags --pictures`."
        ),
        "",
        false_alarms(report),
        "",
        whole_frames(report),
        "",
        *_alarms_drawn(report),
        "| | flag | severity | value | in a word |",
        "|---|---|---|---|---|",
    ]
    for place, flag in enumerate(CAUSES, start=1):
        short = TEXTS[flag].meaning.split(". ")[0].split(":")[0].rstrip(".")
        lines.append(
            f"| {place} | [`{flag.label}`]({flag.label}.md) | "
            f"{_OTHER.get(flag, flag.severity.value).split(';')[0]} | "
            f"`{flag.value_key}` | {short} |"
        )
    lines += ["", *simple_rules(report)]
    if report["recall"]:
        lines += ["", "![root causes](images/root-causes.png)", "", _CAUSES_SHOWN]
    if others := confused(report):
        lines += ["", *others]
    return "\n".join(lines) + "\n"


def _alarms_drawn(report: Row) -> list[str]:
    """The figure of false alarms, once there is a run to draw."""
    if not report["false_alarms"]["frames"]:
        return []
    return ["![false alarms](images/false-alarms.png)", ""]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pages, and with ``--pictures`` their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="docs/flags, with its report.json")
    parser.add_argument("--pictures", action="store_true", help="draw them anew")
    asked = parser.parse_args(arguments)
    folder: Path = asked.folder
    report = json.loads((folder / REPORT).read_text())
    images = folder / "images"
    said_path = folder / "examples.json"
    if asked.pictures:
        # Takes a minute: half a hundred frames are drawn and judged.
        from ringwatch.benchmarks.flags.example_figures import (  # noqa: PLC0415
            draw_example,
        )
        from ringwatch.benchmarks.flags.examples import (  # noqa: PLC0415
            EXAMPLES,
            run_example,
        )
        from ringwatch.benchmarks.flags.other_examples import (  # noqa: PLC0415
            OTHER_EXAMPLES,
            draw_other,
        )

        images.mkdir(parents=True, exist_ok=True)
        draw_report(report, images)
        said = {}
        for flag in EXAMPLES:
            shown = run_example(flag)
            if flag not in shown.quality.raised:
                continue
            draw_example(flag, shown, images / f"{flag.label}.png")
            said[flag.label] = shown.quality.sentences[flag]
        for flag in OTHER_EXAMPLES:
            sentence = draw_other(flag, images / f"{flag.label}.png")
            if sentence:
                said[flag.label] = sentence
        said_path.write_text(json.dumps(said, indent=1) + "\n")
    said = json.loads(said_path.read_text()) if said_path.exists() else {}
    for flag in Flag:
        text = page(flag, report, said.get(flag.label, ""))
        (folder / f"{flag.label}.md").write_text(text)
    (folder / "README.md").write_text(index_page(report))


if __name__ == "__main__":
    main()
