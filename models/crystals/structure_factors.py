"""Reflections and structure factors of one crystal, as numba kernels.

Atoms come folded (see `ringwatch.models.crystals.wyckoff`) and reflections as one
member of each orbit of the Laue group, so that 237,000 atom-reflection pairs fall to
7,700 on average; powers of exp(2 pi i x) come from a recurrence instead of sines in the
inner loop.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba as nb
import numpy as np

from ringwatch.models.fast_math import FINITE, REASSOCIATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BIG = 1 << 30


@nb.njit(cache=True, nogil=True, inline="always")
def _in_unit(code: int, h: int, k: int, l: int) -> bool:  # noqa: E741, PLR0911
    # The same units as wyckoff.in_asymmetric_unit, for loops that start at h, k >= 0
    # where the unit does; a test compares the two.
    if code == 0:
        return l > 0 or (l == 0 and (h > 0 or (h == 0 and k >= 0)))
    if code == 1:
        return l > 0 or (l == 0 and h >= 0)
    if code == 2:
        return True
    if code in (3, 8):
        return k > 0 or h == 0
    if code in (4, 9):
        return h >= k
    if code == 5:
        return k > 0 or (h == 0 and l >= 0)
    if code == 6:
        return h >= k and (k > 0 or l >= 0)
    if code == 7:
        return h >= k and (h > k or l >= 0)
    if code == 10:
        return (l >= h and k > h) or (l == h and k == h)
    return k >= l >= h


@nb.njit(cache=True, nogil=True)
def enumerate_reflections(
    code: int,
    metric: NDArray[np.float64],
    edges: NDArray[np.float64],
    centring: NDArray[np.int64],
    s_range: tuple[float, float],
    line_multiplicity: NDArray[np.float64],
    hkl: NDArray[np.int32],
    s2: NDArray[np.float64],
    multiplicity: NDArray[np.float64],
) -> int:
    """List one member of each orbit that centring allows, ordered by h, then k.

    Parameters
    ----------
    code : int
        Laue class, an index into `ringwatch.models.crystals.wyckoff.LAUE_CLASSES`.
    metric : (6,) float64
        Reciprocal metric a*^2, b*^2, c*^2, 2 a*b*, 2 a*c*, 2 b*c* (dot products),
        1/A^2.
    edges : (3,) float64
        Cell edges in A.
    centring : (n_centring, 3) int64
        Centring vectors in sixths.
    s_range : (float, float)
        Least and greatest 1/d in 1/A.
    line_multiplicity : (12, 128) float64
        Orbit sizes, see `ringwatch.models.crystals.wyckoff.WyckoffTables`.
    hkl, s2, multiplicity : (m, 3) int32, (m,) float64, (m,) float64
        Filled: indices, 1/d^2 in 1/A^2, orbit size. m must hold `box_size`.

    Returns
    -------
    int
        Number of reflections.
    """
    least, most = s_range[0] ** 2, s_range[1] ** 2
    h_max = int(edges[0] * s_range[1] + 1e-6)
    k_max = int(edges[1] * s_range[1] + 1e-6)
    l_max = int(edges[2] * s_range[1] + 1e-6)
    h_min = -h_max if code < 2 else 0
    k_min = -k_max if code == 0 else 0
    l_min = -l_max if 5 <= code <= 7 else 0
    n = 0
    for h in range(h_min, h_max + 1):
        for k in range(k_min, k_max + 1):
            flat = metric[0] * h * h + metric[1] * k * k + metric[3] * h * k
            slope = metric[4] * h + metric[5] * k
            for l in range(l_min, l_max + 1):  # noqa: E741
                inverse_d2 = flat + l * (slope + metric[2] * l)
                if inverse_d2 > most or inverse_d2 < least:
                    continue
                if not _in_unit(code, h, k, l):
                    continue
                allowed = True
                for t in range(1, len(centring)):
                    phase = centring[t, 0] * h + centring[t, 1] * k + centring[t, 2] * l
                    allowed = allowed and phase % 6 == 0
                if not allowed:
                    continue
                bits = (h == 0) + 2 * (k == 0) + 4 * (l == 0) + 8 * (h == k)
                bits += 16 * (k == l) + 32 * (h == l) + 64 * (h == -k)
                hkl[n, 0], hkl[n, 1], hkl[n, 2] = h, k, l
                s2[n] = inverse_d2
                multiplicity[n] = line_multiplicity[code, bits]
                n += 1
    return n


@nb.njit(cache=True, nogil=True)
def box_size(code: int, edges: NDArray[np.float64], s_max: float) -> int:
    """Indices that `enumerate_reflections` looks at: an upper bound of what it lists.

    Parameters
    ----------
    code : int
        Laue class.
    edges : (3,) float64
        Cell edges in A.
    s_max : float
        Greatest 1/d in 1/A.

    Returns
    -------
    int
        Number of index triples.
    """
    size = 1
    for axis in range(3):
        most = int(edges[axis] * s_max + 1e-6)
        both = (axis == 0 and code < 2) or (axis == 1 and code == 0)
        both = both or (axis == 2 and 5 <= code <= 7)
        size *= (2 * most if both else most) + 1
    return size


@nb.njit(cache=True, nogil=True, fastmath=FINITE)
def _powers(x: NDArray[np.float64], highest: int) -> NDArray[np.float32]:
    """Cos and sin of 2 pi m x for m = 0..highest: (2, highest + 1, n) float32."""
    n = len(x)
    table = np.empty((2, highest + 1, n), np.float32)
    table[0, 0] = np.float32(1)
    table[1, 0] = np.float32(0)
    if highest > 0:
        for j in range(n):
            angle = 2.0 * math.pi * x[j]
            table[0, 1, j] = math.cos(angle)
            table[1, 1, j] = math.sin(angle)
    c1, s1 = table[0, min(1, highest)], table[1, min(1, highest)]
    for m in range(2, highest + 1):
        c, s = table[0, m - 1], table[1, m - 1]
        for j in range(n):
            table[0, m, j] = c[j] * c1[j] - s[j] * s1[j]
            table[1, m, j] = c[j] * s1[j] + s[j] * c1[j]
    return table


@nb.njit(cache=True, nogil=True, fastmath=REASSOCIATE, inline="always")
def _sums(
    p: NDArray[np.float32],
    q: NDArray[np.float32],
    f: NDArray[np.float32],
    powers: NDArray[np.float32],
    m: int,
    sign: np.float32,
) -> tuple[np.float32, np.float32]:
    """Real and imaginary part of the sum over atoms: f (p + iq) exp(2 pi i m x)."""
    real = np.float32(0)
    imaginary = np.float32(0)
    for j in range(len(f)):
        c, s = powers[0, m, j], sign * powers[1, m, j]
        real += f[j] * (p[j] * c - q[j] * s)
        imaginary += f[j] * (p[j] * s + q[j] * c)
    return real, imaginary


@nb.njit(cache=True, nogil=True, fastmath=REASSOCIATE, inline="always")
def _cosine_sum(
    p: NDArray[np.float32],
    q: NDArray[np.float32],
    f: NDArray[np.float32],
    powers: NDArray[np.float32],
    m: int,
    sign: np.float32,
) -> np.float32:
    """Real part of `_sums`; all there is when an inversion is at the origin."""
    real = np.float32(0)
    for j in range(len(f)):
        real += f[j] * (p[j] * powers[0, m, j] - sign * (q[j] * powers[1, m, j]))
    return real


@nb.njit(cache=True, nogil=True, fastmath=REASSOCIATE)
def squared_structure_factors(
    positions: NDArray[np.float64],
    weight: NDArray[np.float32],
    slots: NDArray[np.int64],
    z: NDArray[np.int64],
    b_iso: NDArray[np.float64],
    inversion: bool,
    hkl: NDArray[np.int32],
    s2: NDArray[np.float64],
    factors: NDArray[np.float32],
    step: float,
    f_double: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """|F|^2 of one primitive cell's folded atoms, in single precision (1e-5).

    With an imaginary part f'' of the form factors it is the mean over Friedel pairs,
    ``|sum f e|^2 + |sum f'' e|^2`` with e the phases: the mixed terms cancel.

    Parameters
    ----------
    positions : (3, n) float64
        Fractional coordinates of folded atoms, sorted by element slot.
    weight : (n,) float32
        Copies that an atom stands for.
    slots : (e + 1,) int64
        Atoms of element slot j are ``slots[j]:slots[j + 1]``.
    z, b_iso : (e,) int64, (e,) float64
        Atomic number and B in A^2 of each slot.
    inversion : bool
        Whether atoms come as inversion pairs about the origin: cosines only.
    hkl, s2 : (m, 3) int32, (m,) float64
        Miller indices, ordered by h, then k, and 1/d^2 in 1/A^2.
    factors, step : (99, k) float32, float
        See `ringwatch.models.diffraction.form_factors.form_factor_table`.
    f_double : (99,) float64
        f'' in electrons by atomic number.
    out : (m,) float64
        Filled with |F|^2 in electrons^2, before the factor of centring.
    """
    n = len(weight)
    highest = np.zeros(3, np.int64)
    for r in range(len(s2)):
        for axis in range(3):
            highest[axis] = max(highest[axis], abs(hkl[r, axis]))
    powers_h = _powers(positions[0], highest[0])
    powers_k = _powers(positions[1], highest[1])
    powers_l = _powers(positions[2], highest[2])
    p = np.empty(n, np.float32)
    q = np.empty(n, np.float32)
    # Factors by atom: one loop over all atoms is faster than one over each element's.
    f = np.empty(n, np.float32)
    g = np.empty(n, np.float32)
    absorbing = np.any(f_double[z] != 0.0)
    last_h = last_k = _BIG
    for r in range(len(s2)):
        h, k, l = hkl[r, 0], hkl[r, 1], hkl[r, 2]  # noqa: E741
        if h != last_h or k != last_k:
            last_h, last_k = h, k
            sign_h = np.float32(-1 if h < 0 else 1)
            sign_k = np.float32(-1 if k < 0 else 1)
            ch, sh = powers_h[0, abs(h)], powers_h[1, abs(h)]
            ck, sk = powers_k[0, abs(k)], powers_k[1, abs(k)]
            for j in range(n):
                p[j] = (ch[j] * ck[j] - sign_h * sign_k * sh[j] * sk[j]) * weight[j]
                q[j] = (sign_k * ch[j] * sk[j] + sign_h * sh[j] * ck[j]) * weight[j]
        m = abs(l)
        sign = np.float32(-1 if l < 0 else 1)
        s_squared = s2[r] * 0.25
        place = s_squared / step
        node = int(place)
        part = place - node
        for e in range(len(z)):
            factor = factors[z[e], node] * (1.0 - part) + factors[z[e], node + 1] * part
            factor *= math.exp(-b_iso[e] * s_squared)
            for j in range(slots[e], slots[e + 1]):
                f[j] = factor
        if inversion:
            real, imaginary = _cosine_sum(p, q, f, powers_l, m, sign), np.float32(0)
        else:
            real, imaginary = _sums(p, q, f, powers_l, m, sign)
        out[r] = real * real + imaginary * imaginary
        if absorbing:
            for e in range(len(z)):
                g[slots[e] : slots[e + 1]] = f_double[z[e]] * math.exp(
                    -b_iso[e] * s_squared
                )
            real, imaginary = _sums(p, q, g, powers_l, m, sign)
            # The folded atoms of an inversion group have cosines alone.
            out[r] += real * real + (0.0 if inversion else imaginary * imaginary)
