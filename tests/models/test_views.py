"""Views: the same pattern a little stretched, and nothing that was not measured."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.models.views import views


def test_views_are_shifts_to_both_sides():
    x = np.arange(1, 13, dtype=np.float32).reshape(1, 3, 4)
    found = [view[0, 0].tolist() for view in views(x, 5)]
    assert found == [
        [1, 2, 3, 4],
        [0, 1, 2, 3],
        [2, 3, 4, 0],
        [0, 0, 1, 2],
        [3, 4, 0, 0],
    ]
    assert x[0, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 10])
def test_too_few_and_too_many_are_refused(count):
    with pytest.raises(ValueError, match="1 to 9"):
        list(views(np.zeros((1, 3, 8), np.float32), count))
