"""Every flag is explained."""

from __future__ import annotations

import pytest

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.texts import TEXTS
from ringwatch.agent.quality.words import CAUSES


@pytest.mark.parametrize("flag", Flag, ids=lambda f: f.label)
def test_each_flag_has_words_and_a_place_in_the_order_of_causes(flag):
    assert CAUSES.count(flag) == 1
    assert all(text.endswith(".") for text in TEXTS[flag])


def test_bits_and_value_keys_are_told_apart():
    assert sorted(f.bit for f in Flag) == list(range(32))
    assert len({f.value_key for f in Flag}) == len(Flag)
