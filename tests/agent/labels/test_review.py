"""The review queue: what is far, doubtful and novel comes first, each once."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.agent.labels.review import margins, review


def test_one_frame_of_each_cluster_comes_first() -> None:
    rng = np.random.default_rng(20261123)
    centres = 10.0 * np.eye(6)
    of = np.repeat(np.arange(6), [40, 30, 20, 5, 3, 2])
    embedding = centres[of] + 0.1 * rng.normal(size=(len(of), 6))
    same = np.tile([0.9, 0.1], (len(of), 1))
    picks = review(embedding, same, np.full(len(of), -5.0), most=6)
    assert sorted(of[pick.place] for pick in picks) == list(range(6))
    # What is labelled already is not asked for again.
    picks = review(
        embedding, same, np.full(len(of), -5.0), labelled=centres[:4], most=2
    )
    assert sorted(of[pick.place] for pick in picks) == [4, 5]
    assert {pick.reason for pick in picks} == {"unlike anything labelled"}


def test_of_equally_distant_frames_the_doubtful_and_the_novel_come_first() -> None:
    embedding = 5.0 * np.eye(4)
    probabilities = np.array([[0.9, 0.1], [0.5, 0.45], [0.9, 0.1], [0.9, 0.1]])
    novelty = np.array([-6.0, -6.0, 6.0, -6.0])
    picks = review(
        embedding, probabilities, novelty, labelled=np.zeros((1, 4)), most=10
    )
    assert [pick.place for pick in picks[:2]] == [1, 2]
    assert "two classes are nearly as likely" in picks[0].reason
    assert "no single phase" in picks[1].reason
    assert [pick.place for pick in picks] == [1, 2, 0, 3]  # all of them, each once
    assert picks[0].margin == pytest.approx(0.05)


def test_without_labels_the_first_frame_is_the_most_doubtful() -> None:
    picks = review(
        np.eye(3), np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]), np.zeros(3), most=1
    )
    assert picks[0].place == 1
    assert picks[0].distance == np.inf
    assert picks[0].reason.startswith("nothing is labelled yet")


def test_frames_without_embedding_are_left_out() -> None:
    embedding = np.eye(3)
    embedding[1] = np.nan
    nothing = np.full(3, np.nan)
    picks = review(embedding, np.full((3, 2), np.nan), nothing, most=5)
    assert sorted(pick.place for pick in picks) == [0, 2]
    assert np.isfinite([pick.score for pick in picks]).all()
    assert review(embedding[:0], np.empty((0, 2)), nothing[:0]) == []


def test_margins_need_no_order() -> None:
    assert margins(np.array([[0.1, 0.7, 0.2], [0.4, 0.2, 0.4]])) == pytest.approx(
        [0.5, 0.0]
    )
    assert margins(np.ones((2, 1))).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "arrays",
    [
        (np.eye(3), np.ones((2, 2)), np.zeros(3)),
        (np.eye(3), np.ones((3, 2)), np.zeros(2)),
        (np.ones(3), np.ones((3, 2)), np.zeros(3)),
        (np.eye(3), np.ones(3), np.zeros(3)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    with pytest.raises(ValueError, match="expected"):
        review(*arrays)
