"""What the classifier says of itself joins the flags, and changes no word."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.nouns import Flag, FlagState, Word
from ringwatch.agent.quality import unread, with_label
from ringwatch.agent.quality.findings import clear, raised
from ringwatch.agent.quality.words import quality_of
from ringwatch.models.classifier import Classifier


@pytest.fixture(scope="module")
def predictions():
    """Of a crystal's lines, and of noise."""
    classifier = Classifier.load()
    q = np.linspace(1.0, 6.0, 2000)
    a = 5.411  # CeO2
    sharp = np.ones_like(q)
    for n, height in ((3, 100), (4, 30), (8, 50), (11, 40), (12, 8), (16, 8), (19, 15)):
        line = 2 * np.pi * np.sqrt(n) / a
        sharp += height * np.exp(-(((q - line) / 0.008) ** 2))
    glass = 300.0 * np.exp(-(((q - 1.6) / 0.3) ** 2)) + 60.0 / (1.0 + q)
    glass += 80.0 * np.exp(-(((q - 3.0) / 0.5) ** 2))
    noisy = np.random.default_rng(4).poisson(glass).astype(float)
    return classifier.predict(q, sharp), classifier.predict(q, noisy)


GOOD = quality_of([clear(f) for f in Flag])


def test_a_pattern_of_no_crystal_is_novel_and_still_good(predictions):
    crystal, halo = predictions
    assert halo.novel
    quality = with_label(GOOD, halo)
    assert {Flag.NOVEL, Flag.UNSURE} <= set(quality.raised)
    assert quality.word is Word.GOOD
    assert quality.primary is Flag.NOVEL
    assert "no crystal" in quality.reason
    known = with_label(GOOD, crystal)
    assert (Flag.UNSURE in known.raised) == crystal.unsure
    assert known.values["label_prob"] == crystal.label_prob


def test_a_graver_cause_keeps_its_sentence(predictions):
    moved = quality_of([raised(Flag.BEAM_CENTER, 1.0, "the centre moved")])
    quality = with_label(moved, predictions[1])
    assert quality.primary is Flag.BEAM_CENTER
    assert quality.reason == "the centre moved"
    assert Flag.NOVEL in quality.raised


def test_without_a_classifier_both_say_so():
    quality = with_label(GOOD, None)
    for flag in (Flag.NOVEL, Flag.UNSURE):
        assert quality.states[flag] is FlagState.NOT_EVALUATED
        assert quality.why_not[flag] == "no classifier"
    assert quality.reason == "30 of 32 checks clear; not evaluated: novel, unsure"
    lost = unread("the file is gone")
    assert with_label(lost, None) is lost
