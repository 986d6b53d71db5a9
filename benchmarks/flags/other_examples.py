"""Examples of the flags that are not about pixels: the label, and the agent itself."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.cakes import Pattern
from ringwatch.agent.darks import DarkBook
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import (
    Flag,
    FrameRef,
    MemoryLocator,
    Verdict,
    Word,
)
from ringwatch.agent.quality.labels import with_label
from ringwatch.agent.quality.words import set_aside
from ringwatch.agent.runs.run_analysis import RunAnalysis
from ringwatch.agent.settings import Settings
from ringwatch.benchmarks.flags.figures import save_figure
from ringwatch.benchmarks.flags.stage import Scene, Stage
from ringwatch.models.classifier import Classifier
from ringwatch.models.prediction import Prediction

__all__ = ["OTHER_EXAMPLES", "draw_other"]

OTHER_EXAMPLES = (Flag.NOVEL, Flag.UNSURE, Flag.PIPELINE)
_COLOURS = {
    Word.GOOD: "#3a8f5c",
    Word.SUSPECT: "#d9a400",
    Word.MISALIGNED: "#8a4fa3",
    Word.BAD: "#b3261e",
    Word.UNKNOWN: "#9a9a9a",
}


def draw_other(flag: Flag, path: Path, seed: int = 20261121) -> str:
    """Draw one of ``OTHER_EXAMPLES``; the sentence that the flag said."""
    if flag is Flag.PIPELINE:
        return _draw_lost_frames(path, seed)
    # A halo is novel; few counts of a sample of low symmetry leave the classifier
    # unsure.
    sample = "amorphous" if flag is Flag.NOVEL else "low_symmetry"
    counts = 2e7 if flag is Flag.NOVEL else 1e5
    stage = Stage(Scene(geometry="cheap", sample=sample, counts=counts), seed)
    pattern = stage.reduction.pattern(stage.cake(stage.rates()))
    prediction = Classifier.load().predict(*pattern.measured())
    quality = with_label(set_aside("only its label is asked for"), prediction)
    _draw_label(pattern, prediction, path)
    return quality.sentences.get(flag, "")


def _draw_label(pattern: Pattern, prediction: Prediction, path: Path) -> None:
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    curve, bars = figure.subplots(1, 2, width_ratios=(1.6, 1.0))
    q, intensity, _ = pattern.measured()
    curve.plot(q, intensity, linewidth=0.8, color="#1f3b57")
    curve.set_xlabel("q (1/Angstrom)")
    curve.set_ylabel("counts a pixel")
    best = prediction.classes[:5]
    names = [f"{c.symbol} ({c.number})" for c in best]
    bars.barh(names, [c.probability for c in best], color="#1f6f8b", height=0.6)
    bars.invert_yaxis()
    bars.set_xlim(0, 1)
    bars.set_xlabel("probability")
    bars.set_title(f"novelty {prediction.novelty:+.1f}", fontsize=9)
    for axes in (curve, bars):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path, dots=75)


def _draw_lost_frames(path: Path, seed: int) -> str:
    """Verdicts of a run of which two frames cannot be read."""
    stage = Stage(Scene(geometry="small", counts=1e6), seed)
    expected = stage.experiment.expected(stage.experiment.conditions())
    poni = stage.experiment.geometry.save(path.with_suffix(".poni"))
    try:
        analysis = Analysis(Settings(poni=poni, classifier="none"), None)
        run = RunAnalysis(analysis, {}, FrameReader(), DarkBook())
        first = FrameRef.without_pixels("example", 0, time=0.0)
        verdicts: list[Verdict] = []
        for index in range(16):
            ref = replace(first, index=index, seq_num=index + 1)
            if index not in (9, 10):
                ref = replace(ref, locator=MemoryLocator(frame=stage.frame(expected)))
            verdicts.append(run.judge(ref, time.monotonic()))
    finally:
        poni.unlink(missing_ok=True)
    figure = Figure(figsize=(8.0, 1.6), layout="constrained")
    axes = figure.subplots()
    for verdict in verdicts:
        axes.bar(verdict.frame.index, 1.0, 0.9, color=_COLOURS[verdict.word])
    for word in dict.fromkeys(v.word for v in verdicts):
        axes.bar(0, 0, color=_COLOURS[word], label=word.value)
    axes.set_yticks([])
    axes.set_xticks(np.arange(0, len(verdicts), 5))
    axes.set_xlabel("frame")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_figure(figure, path, dots=75)
    lost = next(v for v in verdicts if Flag.PIPELINE in v.quality.raised)
    return lost.reason
