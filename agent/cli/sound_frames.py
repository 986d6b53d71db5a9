"""Frames that ``ringwatch classify --save-reference`` keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ringwatch.agent.analysis import Analysis
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.files.patterns import is_pattern_file
from ringwatch.agent.nouns import Quality, Word
from ringwatch.agent.quality import FrameFacts
from ringwatch.agent.reference_file import MOST_FRAMES, save_reference

__all__ = ["JudgedFrame", "check_frames", "save_sound"]

JudgedFrame = tuple[Path, FrameFacts, Quality]
"""A file, its first frame, and what was found."""

_TOLD = 5  # frames left out that are named


def check_frames(files: Sequence[Path], poni: Path | None) -> None:
    """Refuse what cannot become a reference, before any work is done.

    Parameters
    ----------
    files : sequence of Path
        As given; patterns are no part of a reference.
    poni : Path or None
        Geometry of the settings.

    Raises
    ------
    SettingsError
    """
    frames = sum(not is_pattern_file(path) for path in files)
    if not 0 < frames <= MOST_FRAMES:
        raise SettingsError(
            f"--save-reference: these are {frames} frames, give 1 to {MOST_FRAMES} "
            "sound ones"
        )
    if poni is None:
        raise SettingsError(
            "--save-reference: without a geometry no frame is good: give --poni"
        )


def save_sound(path: Path, analysis: Analysis, judged: Sequence[JudgedFrame]) -> None:
    """Keep the good frames, and say on stderr which are left out and why.

    Raises
    ------
    SettingsError
        Where none is good, or they are of several detectors.
    """
    sound = [facts for _, facts, quality in judged if quality.word is Word.GOOD]
    left_out = [each for each in judged if each[2].word is not Word.GOOD]
    why = "; ".join(
        f"{file.name} is {quality.word}: {quality.reason}"
        for file, _, quality in left_out[:_TOLD]
    )
    if len(left_out) > _TOLD:
        why += f"; and {len(left_out) - _TOLD} more"
    if not sound:
        raise SettingsError(
            "--save-reference: none of the frames is good"
            + (f" ({why})" if why else "")
            + ": mend what is wrong there, or give frames of a sound run"
        )
    shapes = {facts.cake.shape for facts in sound}
    if len(shapes) > 1:
        raise SettingsError(
            f"--save-reference: the frames have {len(shapes)} different shapes: give "
            "those of one detector"
        )
    save_reference(path, sound, analysis.reduction(shapes.pop()).binning)
    if left_out:
        Console(stderr=True).print(
            f"{path.name} holds {len(sound)} of {len(judged)} frames; left out: {why}",
            highlight=False,
            markup=False,
        )
