"""Figures of the flags' benchmark: all levels of counts, all faults, and where."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from ringwatch.agent.nouns import Flag
from ringwatch.benchmarks.flags import figures
from ringwatch.benchmarks.flags.cases import CASES
from ringwatch.benchmarks.flags.curve_figure import curve_figure
from ringwatch.benchmarks.flags.curves import limits, place_of
from ringwatch.benchmarks.flags.figures import draw_alarms, draw_causes, shown_faults

LEVELS = (1e4, 1e6, 1e8)


def row(case, amplitude, recall=1.0, group="curve", **more):
    about = CASES[case]
    return {
        "group": group,
        "case": case,
        "flag": about.flag,
        "unit": about.unit,
        "amplitude": amplitude,
        "geometry": "cheap",
        "sample": "cubic",
        "counts": about.counts or 1e6,
        "level": "cakes",
        "trials": 60,
        "seen": round(60 * recall),
        "recall": recall,
        "recall_95": [max(recall - 0.05, 0.0), min(recall + 0.05, 1.0)],
        "causes": {about.flag: 60},
        **more,
    }


def curve(case, seen, **more):
    """Rows of a case at all three levels, seen at the given amplitudes."""
    about = CASES[case]
    rows = [
        row(case, a, float(a in seen), counts=counts, **more)
        for counts in LEVELS
        for a in about.amplitudes
    ]
    if about.no_fault is not None:
        rows += [
            row(case, about.no_fault, 0.0, "no fault", counts=counts)
            for counts in LEVELS
        ]
    return rows


def drawn(figure):
    """The figure, once it has been drawn: ticks and places are known only then."""
    figure.savefig(io.BytesIO(), format="png", dpi=60)
    return figure


@pytest.mark.parametrize(
    ("case", "seen", "found"),
    [
        ("strain", (150.0, 200.0, 300.0, 1000.0, 3000.0), [("from", 150.0, False)]),
        ("sample lost", (0.0, 0.05, 0.1), [("up to", 0.1, False)]),
        ("wrong dark", (0.5, 2.0), [("up to", 0.5, False), ("from", 2.0, False)]),
        ("zingers", (10, 30, 100, 300), [("from", 10, True)]),
        ("tilt", (), []),
    ],
)
def test_the_weakest_amplitude_that_is_seen_is_found_on_both_sides(case, seen, found):
    rows = [row(case, a, float(a in seen)) for a in CASES[case].amplitudes]
    told = [(x.side, x.amplitude, x.weakest) for x in limits(rows, CASES[case])]
    assert told == found


def test_a_stronger_fault_that_is_missed_is_told():
    rows = [row("tilt", a, float(a in (0.1, 0.3))) for a in CASES["tilt"].amplitudes]
    (limit,) = limits(rows, CASES["tilt"])
    assert (limit.amplitude, limit.missed) == (0.1, (0.15, 1.0))


@pytest.mark.parametrize(
    ("case", "scale"),
    [
        ("beam centre", "symlog"),  # from 0, which is nothing, over two decades
        ("no crystals", "symlog"),  # 0 is a fault here
        ("few grains", "log"),  # a million grains are far away, and not drawn
        ("wrong dark", "linear"),
    ],
)
def test_amplitudes_over_a_decade_are_drawn_by_decades_and_zero_is_among_them(
    case, scale
):
    figure = drawn(curve_figure(case, curve(case, CASES[case].amplitudes)))
    top = figure.axes[0]
    assert top.get_xscale() == scale
    least, most = top.get_xlim()
    assert all(least < amplitude < most for amplitude in CASES[case].amplitudes)
    ticks = [tick for tick in top.get_xticks() if least <= tick <= most]
    assert len(ticks) >= 2
    assert (0.0 in ticks) == (scale == "symlog")


def test_all_levels_of_counts_are_told_apart_where_they_coincide():
    figure = drawn(curve_figure("strain", curve("strain", (3000.0,))))
    lines = [each.lines[0] for each in figure.axes[0].containers]
    assert len(lines) == len(LEVELS)
    for look in ("color", "marker", "linestyle", "linewidth"):
        assert len({getattr(line, f"get_{look}")() for line in lines}) == len(LEVELS)
    places = [line.get_transform().transform((3000.0, 1.0))[0] for line in lines]
    assert np.diff(places).min() > 2.0  # dots of the picture


def test_the_scene_and_the_limits_are_named():
    rows = curve("beam centre", (0.4, 0.8, 2.0))
    rows = [
        r | {"recall": 0.0} if r["counts"] == 1e4 and r["amplitude"] < 2.0 else r
        for r in rows
    ]
    figure = drawn(curve_figure("beam centre", rows))
    title = figure.axes[0].get_title(loc="left")
    assert place_of(rows[0]) == "cheap (1 Mpx, 0.5 m), cubic sample"
    assert place_of(rows[0]) in title
    assert "60 trials" in title
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "$10^{4}$ counts: 95 % from 2",
        "$10^{6}$ counts: 95 % from 0.4",
        "$10^{8}$ counts: 95 % from 0.4",
        "asked to be seen",
    ]
    falling = [
        line.get_xdata()[0]
        for line in figure.axes[0].get_lines()
        if list(line.get_ydata()) == [-0.05, 0.95]
    ]
    assert falling == [2.0, 0.4, 0.4]


def test_a_fault_that_is_never_seen_says_so():
    figure = curve_figure("tilt", curve("tilt", ()))
    (legend,) = figure.legends
    assert legend.get_texts()[0].get_text() == "$10^{4}$ counts: 95 % at none tried"


def test_what_was_measured_stands_below_whether_it_was_seen_or_not():
    rows = [
        r | {"recovered_median": 1 - 0.1 / (1 + r["amplitude"])}
        for r in curve("tilt", (1.0,))
    ]
    _, below = drawn(curve_figure("tilt", rows)).axes
    values = [line for line in below.get_lines() if len(line.get_xdata()) > 2]
    assert len(values) == len(LEVELS)
    assert "found / injected" in below.get_ylabel()


def test_the_values_of_a_flag_that_takes_several_frames_are_not_drawn():
    rows = [r | {"value_median": r["amplitude"]} for r in curve("hot pixels", ())]
    assert len(curve_figure("hot pixels", rows).axes) == 1


def test_a_fault_without_amplitude_is_drawn_against_the_counts():
    rows = curve("dropped frame", (1.0,))
    (axes,) = drawn(curve_figure("dropped frame", rows)).axes
    assert axes.get_xlabel() == "counts a frame"
    assert {each.lines[0].get_xdata()[0] for each in axes.containers} == set(LEVELS)


@pytest.mark.parametrize("case", CASES)
def test_every_case_can_be_drawn(case):
    figure = curve_figure(case, curve(case, CASES[case].amplitudes, value_median=2.0))
    assert isinstance(drawn(figure), Figure)


def test_root_causes_are_shown_of_every_case(tmp_path, monkeypatch):
    rows = [r for case in CASES for r in curve(case, CASES[case].amplitudes)]
    rows += [
        row(case, about.target, group="target", geometry="reference")
        for case, about in CASES.items()
        if about.target is not None
    ]
    chosen = shown_faults(rows)
    assert sorted(r["case"] for r in chosen) == sorted(CASES)
    by_case = {r["case"]: r for r in chosen}
    assert by_case["tilt"]["group"] == "target"
    assert by_case["strain"]["amplitude"] == 3000.0
    assert by_case["sample lost"]["amplitude"] == 0.0  # nothing is left: the strongest
    assert {r["counts"] for r in chosen} <= {1e6, CASES["low counts"].counts}

    seen: list[Figure] = []
    monkeypatch.setattr(
        figures, "save_figure", lambda figure, *_, **__: seen.append(figure)
    )
    chosen[0] = chosen[0] | {"causes": {"none": 60}}
    draw_causes(chosen, tmp_path / "causes.png")
    (axes,) = seen[0].axes
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert columns[-1] == "none"
    assert set(columns[:-1]) == {about.flag for about in CASES.values()}
    assert Flag.NOVEL.label not in columns  # never named
    assert len(axes.get_yticklabels()) == len(CASES)
    assert len(axes.patches) == len(CASES)  # each has the cause that is due


def test_a_campaign_that_is_not_done_says_so_in_its_figure(tmp_path, monkeypatch):
    seen: list[Figure] = []
    monkeypatch.setattr(
        figures, "save_figure", lambda figure, *_, **__: seen.append(figure)
    )
    story = {"frames": 2000, "alarms": 0, "baselines": {}}
    summary = {"frames": 2000, "alarms": 0, "by": {"story": {"quiet": story}}}
    for runs in (5, 2):
        asked = summary | {"runs": runs, "frames_a_run": 1000}
        draw_alarms(asked, tmp_path / "alarms.png")
    titles = [figure.axes[0].get_title(loc="left") for figure in seen]
    assert titles == ["so far: 2 of 5 runs", ""]
