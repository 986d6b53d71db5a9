"""The model card in Markdown, made from the machine-readable one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ringwatch.models.weight_files import WeightsFile

__all__ = ["card_text"]

Card = Mapping[str, Any]

_TEMPLATE = Path(__file__).resolve().parents[1] / "weights" / "MODEL_CARD.template.md"
_NOT_LAYERS = ("prior.", "embedding.", "novelty.", "calibration.")
_TABLES = {
    "clean": "real structures, clean",
    "beamline": "real structures, as at a beamline",
    "measured": "measured patterns",
}
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
_FIGURES = {
    "accuracy.png": "accuracy of three tables, with intervals",
    "selectivity.png": "accuracy of the surest answers",
    "reliability.png": "stated probability against accuracy",
    "sweeps.png": "accuracy under one disturbance at a time",
    "scaling.png": "accuracy over training samples",
}


def card_text(
    file: WeightsFile, *, name: str, n_bytes: int, figures: Sequence[str] = ()
) -> str:
    """Markdown form of a card.

    Parameters
    ----------
    file : WeightsFile
        Weights and card.
    name : str
        Of the weights.
    n_bytes : int
        Size of the weights file.
    figures : sequence of str
        Names of figures in ``docs/images``.
    """
    card = file.card
    training, report = card["training"], card.get("evaluation", {})
    network = file.network
    scores = "\n".join(
        _scores(of_prior, prior, report) for prior, of_prior in card["scores"].items()
    )
    return _TEMPLATE.read_text(encoding="utf-8").format(
        name=name,
        n_bins=network.n_bins,
        n_networks=len(file.networks),
        n_weights=sum(
            value.size
            for key, value in file.tensors.items()
            if not key.startswith(_NOT_LAYERS)
        ),
        mib=n_bytes / 2**20,
        digest=file.digest,
        crystals=_crystals(training),
        seed=training.get("recipe", {}).get("crystals", {}).get("seed", "?"),
        recipe=training.get("identity", "?"),
        minutes=training["seconds"] / 60,
        q_min=network.q_min,
        q_max=network.q_max,
        temperature=card["temperature"],
        doubt=card.get("doubt", 0.0),
        threshold=card["coverage"]["threshold"],
        stated=card["coverage"]["stated"],
        unsure=card["unsure_below"],
        calibration=card.get("calibration", "nothing yet"),
        scores=scores or "None recorded yet.\n",
        details="\n".join(_details(report)),
        novelty=_novelty(card),
        figures="\n".join(
            f"![{_FIGURES[file]}](../../docs/images/{file})\n"
            for file in _FIGURES
            if file in figures
        ),
    )


def _crystals(training: Card) -> str:
    """What the network was trained on."""
    share = training.get("recipe", {}).get("crystals", {}).get("prototype_share", 0.0)
    samples = f"{training['samples']:,} simulated crystals, none twice"
    if not share:
        return f"{samples}; no real structure, no measured pattern"
    return (
        f"{samples}; {share:.0%} of them known structure types with other elements, "
        "cells and coordinates; no measured pattern"
    )


def _novelty(card: Card) -> str:
    """How well what is no single crystalline phase is told from what is one."""
    found = card.get("novelty", {})
    if not found:
        return "Not measured yet.\n"
    rows = [[str(key), f"{value:.3f}"] for key, value in found.items()]
    return _table(["against one phase", "AUROC"], rows)


def _ordered(tables: Card) -> dict[str, Any]:
    """Tables in the order they are told of; JSON sorts them by name."""
    known = {name: tables[name] for name in _TABLES if name in tables}
    return known | dict(tables)


def _percent(rate: Any) -> str:
    """A rate with its interval; a dash where an older card has none."""
    if not isinstance(rate, Mapping):
        return "-"
    return "{percent:.1f} ({low:.1f}-{high:.1f})".format(**rate)


def _number(scores: Card, key: str, form: str = ".1f") -> str:
    return format(scores[key], form) if key in scores else "-"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _scores(scores: Mapping[str, Any], prior: str, report: Card) -> str:
    """Scores under one prior, tables side by side."""
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
    text = _table([f"prior `{prior}`", *(_TABLES.get(n, n) for n in names)], rows)
    return f"Scored: {scored}.\n\n{text}"


def _range(ends: Sequence[float] | None) -> str:
    return f"{ends[0]:g} to {ends[1]:g}" if ends else "unknown"


def _details(report: Card) -> Iterable[str]:
    """Breakdowns, one section each."""
    tables = _ordered(report.get("tables", {}))
    header = ["n", "class", "among 5", "system", "space group"]
    sections = {
        "systems": "By crystal system",
        "parts": "Seen and unseen structure types",
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
                heading = f"### {title}: {_TABLES.get(name, name)}\n"
                yield f"{heading}\n{_table(['', *header], rows)}"
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
            _TABLES.get(name, name),
            *(f"{point['percent']:.0f}" for point in table["selectivity"]),
        ]
        for name, table in tables.items()
    ]
    text = _table(["surest share, %", *(str(share) for share in shares)], rows)
    return f"### First class right, of the surest answers\n\n{text}"


def _errors(tables: Card) -> str:
    kinds = list(next(iter(tables.values()))["errors"])
    rows = [
        [_TABLES.get(name, name), *(f"{table['errors'][kind]:.1f}" for kind in kinds)]
        for name, table in tables.items()
    ]
    return f"### Wrong first classes, percent of all\n\n{_table(['', *kinds], rows)}"


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
            title = f"### Neighbours confused most often: {_TABLES.get(name, name)}\n"
            yield f"{title}\n{_table(header, rows)}"


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
    text = _table(["what is varied", "value: first class right, %"], rows)
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
        f"{_table(header, rows)}"
    )
