"""The embedding: principal components with unit variance, the same bits every time."""

from __future__ import annotations

import numpy as np
import pytest

from ringwatch.models.embedding import SIZE, Embedding, absent


def spread(n=3000, width=100, dead=10, seed=0):
    """Hidden layers of known directions; the last ``dead`` units never fire."""
    rng = np.random.default_rng(seed)
    sigma = np.geomspace(5, 0.05, width - dead)
    turned = np.linalg.qr(rng.normal(size=(width - dead, width - dead)))[0]
    x = rng.normal(size=(n, width - dead)) * sigma @ turned + 3
    return np.pad(x, ((0, 0), (0, dead))).astype(np.float32), turned


def test_components_are_uncorrelated_of_unit_variance_and_the_widest_first():
    x, turned = spread()
    found = Embedding.fit(x)
    y = found.of(x)
    assert y.shape == (3000, SIZE)
    assert y.dtype == np.float32
    np.testing.assert_allclose(np.cov(y, rowvar=False), np.eye(SIZE), atol=2e-3)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-3)
    first = found.projection[:90, 0]
    cosine = first @ turned[0] / np.linalg.norm(first)
    assert abs(cosine) > 0.99


def test_a_pattern_has_the_same_embedding_in_any_batch():
    x, _ = spread(500)
    found = Embedding.fit(x)
    whole = found.of(x)
    assert all(np.array_equal(found.of(x[i : i + 1])[0], whole[i]) for i in range(50))
    again = Embedding.fit(x.copy())
    np.testing.assert_array_equal(again.projection, found.projection)


def test_signs_do_not_depend_on_the_solver():
    x, _ = spread(500)
    projection = Embedding.fit(x).projection
    largest = projection[np.abs(projection).argmax(axis=0), np.arange(SIZE)]
    assert (largest > 0).all()


def test_a_narrow_layer_leaves_the_rest_zero():
    x, _ = spread(500, width=20, dead=4)
    y = Embedding.fit(x).of(x)
    assert (y[:, 16:] == 0).all()
    assert (y[:, :16].std(axis=0) > 0.9).all()
    with pytest.raises(ValueError, match="thousands"):
        Embedding.fit(x[:1])


def test_it_survives_a_weights_file():
    x, _ = spread(500)
    found = Embedding.fit(x)
    again = Embedding.of_tensors(found.to_tensors())
    assert again is not None
    np.testing.assert_array_equal(again.of(x[:5]), found.of(x[:5]))
    assert Embedding.of_tensors({}) is None
    assert np.isnan(absent()).all()
    assert absent().shape == (SIZE,)
