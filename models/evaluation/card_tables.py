"""Tables of the model card: scores and their breakdowns in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["TABLES", "details", "markdown_table", "scores_table"]

Card = Mapping[str, Any]

TABLES = {
    "clean": "real structures, clean",
    "beamline": "real structures, as at a beamline",
    "measured": "measured patterns",
}
"""What tables of an evaluation are called on the card."""
_RATES = {
    "class_top1": "class",
    "class_top3": "among 3",
    "class_top5": "among 5",
    "system": "system",
    "space_group": "space group",
    "space_group_top5": "among 5",
    "surest_half": "class, surest half",
    "coverage": "set holds it",
}
_NUMBERS = {
    "classes in a set": [("mean_set_size", ".1f")],
    "ECE, and beyond chance": [("ece", ".1f"), ("ece_excess", "+.1f")],
    "same answer to all: class, among 5, system": [
        ("majority", ".1f"),
        ("majority_top5", ".1f"),
        ("majority_system", ".1f"),
    ],
}
_GROUP_RATES = ("class_top1", "class_top5", "system", "space_group")
_N_NEIGHBOURS = 6
_PARTS = {
    "report": "structures: parts `seen` and `test`; measured patterns: part `test`; "
    "nothing was ever chosen on these",
    "all": "all rows, those included that settings were chosen on",
}


def _ordered(tables: Card) -> dict[str, Any]:
    """Tables in the order they are told of; JSON sorts them by name."""
    known = {name: tables[name] for name in TABLES if name in tables}
    return known | dict(tables)


def _percent(rate: Any) -> str:
    """A rate with its interval; a dash where an older card has none."""
    if not isinstance(rate, Mapping):
        return "-"
    return "{percent:.1f} ({low:.1f}-{high:.1f})".format(**rate)


def _number(scores: Card, key: str, form: str = ".1f") -> str:
    return format(scores[key], form) if key in scores else "-"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def scores_table(scores: Mapping[str, Any], prior: str, report: Card) -> str:
    """Scores under one prior, by table, side by side, and what they were scored on."""
    names = list(_ordered(scores))
    of = [scores[name] for name in names]
    rows = [[label, *(_percent(s.get(k)) for s in of)] for k, label in _RATES.items()]
    rows += [
        [label, *(", ".join(_number(s, k, form) for k, form in keys) for s in of)]
        for label, keys in _NUMBERS.items()
    ]
    rows += [
        ["patterns", *(str(s["class_top1"]["n"]) for s in of)],
        ["types or groups", *(str(s["class_top1"].get("clusters", "-")) for s in of)],
        ["rows skipped", *(str(s["skipped"]) for s in of)],
    ]
    if report.get("prior") == prior:
        ranges = [report["tables"].get(name, {}).get("q_range") for name in names]
        rows.append(["q, 1/Angstrom (median ends)", *(_range(ends) for ends in ranges)])
    scored = "at another time"
    if report.get("prior") == prior:
        scored = _PARTS.get(report["part"], f"part `{report['part']}`")
    text = markdown_table(
        [f"prior `{prior}`", *(TABLES.get(n, n) for n in names)], rows
    )
    return f"Scored: {scored}.\n\n{text}"


def _range(ends: Sequence[float] | None) -> str:
    return f"{ends[0]:g} to {ends[1]:g}" if ends else "unknown"


def details(report: Card) -> Iterable[str]:
    """Yield what stands behind the scores of a report, one section each."""
    tables = _ordered(report.get("tables", {}))
    header = ["n", "class", "among 5", "system", "space group"]
    sections = {
        "systems": "By crystal system",
        "parts": "By part of the development data",
        "volumes": "By volume of the cell",
    }
    for key, title in sections.items():
        for name, table in tables.items():
            if len(table[key]) > 1:
                rows = [
                    [
                        entry["name"],
                        str(entry["class_top1"]["n"]),
                        *(_percent(entry[rate]) for rate in _GROUP_RATES),
                    ]
                    for entry in table[key]
                ]
                heading = f"### {title}: {TABLES.get(name, name)}\n"
                yield f"{heading}\n{markdown_table(['', *header], rows)}"
    if tables:
        yield _selectivity(tables)
        yield _errors(tables)
        yield from _neighbours(tables)
    if "sweeps" in report:
        yield _sweeps(report["sweeps"])
    if "adaptation" in report:
        yield _adaptation(report["adaptation"])


def _selectivity(tables: Card) -> str:
    shares = [point["share"] for point in next(iter(tables.values()))["selectivity"]]
    rows = [
        [
            TABLES.get(name, name),
            *(f"{point['percent']:.0f}" for point in table["selectivity"]),
        ]
        for name, table in tables.items()
    ]
    text = markdown_table(["surest share, %", *(str(share) for share in shares)], rows)
    return f"### First class right, of the surest answers\n\n{text}"


def _errors(tables: Card) -> str:
    kinds = list(next(iter(tables.values()))["errors"])
    rows = [
        [TABLES.get(name, name), *(f"{table['errors'][kind]:.1f}" for kind in kinds)]
        for name, table in tables.items()
    ]
    text = markdown_table(["", *kinds], rows)
    return f"### Wrong first classes, percent of all\n\n{text}"


def _neighbours(tables: Card) -> Iterable[str]:
    header = ["classes", "lines apart", "patterns", "right", "taken for the other"]
    for name, table in tables.items():
        rows = [
            [
                f"{row['one']}, {row['other']}",
                *(str(row[key]) for key in ("lines", "n", "right", "confused")),
            ]
            for row in table["neighbours"][:_N_NEIGHBOURS]
        ]
        if rows:
            title = f"### Neighbours confused most often: {TABLES.get(name, name)}\n"
            yield f"{title}\n{markdown_table(header, rows)}"


def _sweeps(sweeps: Card) -> str:
    rows = [
        [
            sweep["label"],
            ", ".join(
                f"{point['value']:g}: {point['class_top1']['percent']:.0f}"
                for point in sweep["points"]
            ),
        ]
        for sweep in sweeps.values()
    ]
    n = next(iter(sweeps.values()))["points"][0]["class_top1"]["n"]
    text = markdown_table(["what is varied", "value: first class right, %"], rows)
    return f"### One disturbance at a time, {n} clean real structures\n\n{text}"


def _adaptation(forms: Card) -> str:
    keys = ("class_top1", "class_top3", "class_top5", "system", "space_group_top5")
    rows = [
        [name, *(_percent(form[key]) for key in keys), f"{form['nll']:.2f}"]
        # What is adapted comes after what is not.
        for name, form in sorted(
            forms.items(), key=lambda item: item[0] != "as shipped"
        )
    ]
    header = ["", "class", "among 3", "among 5", "system", "space group among 5", "NLL"]
    return (
        "### Adapted to the unlabelled measured patterns (`--adapt`)\n\n"
        f"{markdown_table(header, rows)}"
    )
