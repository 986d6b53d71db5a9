"""Split pixels, against pyFAI's own integration of real frames."""

from __future__ import annotations

from pathlib import Path

import fabio
import numpy as np
import pytest

from ringwatch.agent.geometry import Binning, load_geometry
from ringwatch.agent.pixel_splitting import PixelSplitting
from ringwatch.agent.reduction import Reduction


@pytest.mark.parametrize("name", ["CeO2_Pilatus1M.cbf.gz", "CeO2_Pilatus2M_61keV.cbf"])
def test_a_split_pattern_is_pyfais_own(name: str, shared_data: Path) -> None:
    with fabio.open(str(shared_data / "frames" / name)) as image:
        frame = np.asarray(image.data)
    poni = shared_data / "frames" / f"{name.split('.', maxsplit=1)[0]}.poni"
    geometry = load_geometry(poni)
    binning = Binning.from_geometry(geometry, frame.shape, npt=800)
    pattern = PixelSplitting(geometry, binning).pattern(frame)
    step = binning.q[1] - binning.q[0]
    peer = load_geometry(poni).integrate1d_ng(
        frame,
        binning.q.size,
        unit="q_A^-1",
        radial_range=(
            max(binning.q[0] - step / 2, 0.0),
            binning.q[-1] + step / 2,
        ),
        method=("full", "csc", "cython"),
        mask=(frame < 0).astype(np.int8),
        polarization_factor=0.99,
        error_model="poisson",
    )
    measured = (pattern.coverage > 0.05) & (peer.count > 1)
    assert measured.sum() > 0.9 * binning.q.size
    np.testing.assert_allclose(peer.radial, binning.q, rtol=1e-5)
    np.testing.assert_allclose(
        pattern.intensity[measured], peer.intensity[measured], rtol=2e-5, atol=1e-5
    )
    due = np.sqrt(peer.sum_variance) / peer.sum_normalization
    np.testing.assert_allclose(
        pattern.sigma[measured], due[measured], rtol=2e-5, atol=1e-5
    )


def test_a_dark_is_subtracted_and_its_noise_counts(poni: Path) -> None:
    shape = (192, 176)
    geometry = load_geometry(poni)
    binning = Binning.from_geometry(geometry, shape, npt=60)
    rng = np.random.default_rng(3)
    frame = rng.poisson(50.0, shape).astype("u2")
    frame[40, 50] = np.iinfo("u2").max  # marked
    dark = Reduction(binning).prepare_dark([rng.poisson(20.0, shape).astype("u2")])
    split = PixelSplitting(geometry, binning)
    below = split.pattern(frame, dark)
    whole = Reduction(binning)
    due = whole.pattern(whole.cake(frame, dark), dark)
    inner = (due.coverage > 0.9) & (binning.pixels.sum(axis=1) > 150)
    assert inner.sum() > 30
    near = np.abs(below.intensity - due.intensity)[inner] / due.sigma[inner]
    assert np.median(near) < 1.0
    # Shares of a pixel in two bins: the variance of a bin is less than of whole ones.
    ratio = below.sigma[inner] / due.sigma[inner]
    assert 0.6 < np.median(ratio) < 1.02
    assert (below.coverage <= 1.0).all()
