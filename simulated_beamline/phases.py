"""Real phases: cells, sites and thermal expansion, after the works that each names.

The numbers were entered without the papers at hand. What checks them: bond lengths of
all phases, and the lines of seven against the calibrants of pyFAI, by the tests. Nobody
has compared the rest digit by digit; do so before using them as references.

Cells are those at the reference temperature. Coefficients of linear expansion are those
near room temperature, rounded to two digits, from Y. S. Touloukian et al.,
Thermophysical Properties of Matter 12 and 13 (Plenum, 1975 and 1977), unless the source
says otherwise. Displacement parameters are typical values of the phase at room
temperature.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from ringwatch.models.diffraction import Crystal

__all__ = ["PHASES", "TRANSITION_K", "Phase", "Site", "TetragonalTitanate", "phase"]

TRANSITION_K = 393.0
"""Tetragonal to cubic transition of BaTiO3, kelvin (W. J. Merz, Phys. Rev. 76, 1221
(1949): 120 degrees Celsius)."""

Cell = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One site of the asymmetric unit, fully occupied.

    Attributes
    ----------
    element : str
        Chemical symbol.
    position : (x, y, z)
        Fractional coordinates in the setting of the phase.
    b_iso : float
        Displacement parameter, A^2.
    """

    element: str
    position: tuple[float, float, float]
    b_iso: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A crystalline phase as published.

    Attributes
    ----------
    name : str
        Formula or mineral name, the key of ``PHASES``.
    space_group : int
        Number in International Tables A.
    setting : str
        Hermann-Mauguin symbol with origin choice or axes, as gemmi writes it.
    lengths : (a, b, c)
        Cell edges at ``reference_k``, Angstrom.
    gamma : float
        Angle between a and b, degrees; the others are 90 in all phases here.
    sites : tuple of Site
        Asymmetric unit.
    expansion : (a, b, c)
        Coefficients of linear expansion along the axes, 1/K.
    reference_k : float
        Temperature of the published cell, kelvin.
    source : str
        Who published cell and positions.
    """

    name: str
    space_group: int
    setting: str
    lengths: tuple[float, float, float]
    sites: tuple[Site, ...]
    expansion: tuple[float, float, float]
    source: str
    gamma: float = 90.0
    reference_k: float = 298.0

    def cell(self, temperature: float) -> Cell:
        """Edges (Angstrom) and angles (degrees) at a temperature (kelvin)."""
        warmer = temperature - self.reference_k
        a, b, c = (
            length * (1.0 + coefficient * warmer)
            for length, coefficient in zip(self.lengths, self.expansion, strict=True)
        )
        return a, b, c, 90.0, 90.0, self.gamma

    def crystal(self, temperature: float) -> Crystal:
        """The phase at a temperature (kelvin), all atoms of the cell."""
        return Crystal.from_sites(
            space_group=self.space_group,
            cell=self.cell(temperature),
            elements=[site.element for site in self.sites],
            positions=[site.position for site in self.sites],
            b_iso=[site.b_iso for site in self.sites],
            setting=self.setting,
            name=self.name,
            source=self.source,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TetragonalTitanate(Phase):
    """Ferroelectric BaTiO3: its c/a falls towards the transition, then jumps to 1.

    The strain c/a - 1 is 0.005 at the transition and rises below it with the square
    root of the distance, the form of a first-order Landau transition (Devonshire,
    Phil. Mag. 40, 1040 (1949)), up to the published cell at the reference temperature.
    The jump is that of Kay and Vousden, Phil. Mag. 40, 1019 (1949), read from a figure.
    """

    strain_at_transition: float = 0.005

    def cell(self, temperature: float) -> Cell:
        """Edges (Angstrom) and angles (degrees) at a temperature (kelvin)."""
        a0, _, c0 = self.lengths
        below = max(0.0, TRANSITION_K - temperature)
        depth = (below / (TRANSITION_K - self.reference_k)) ** 0.5
        jump = self.strain_at_transition
        ratio = 1.0 + jump + (c0 / a0 - 1.0 - jump) * depth
        mean = (a0 * a0 * c0) ** (1.0 / 3.0)
        mean *= 1.0 + self.expansion[0] * (temperature - self.reference_k)
        a = mean / ratio ** (1.0 / 3.0)
        return a, a, a * ratio, 90.0, 90.0, 90.0


def _site(element: str, x: float, y: float, z: float, b_iso: float) -> Site:
    return Site(element=element, position=(x, y, z), b_iso=b_iso)


def _cubic(name: str, number: int, setting: str, a: float, alpha: float) -> Phase:
    """A cubic phase that still lacks its sites and source."""
    return Phase(
        name=name,
        space_group=number,
        setting=setting,
        lengths=(a, a, a),
        expansion=(alpha, alpha, alpha),
        sites=(),
        source="",
    )


_CUBIC_PHASES = (
    replace(
        _cubic("CeO2", 225, "F m -3 m", 5.4115, 11e-6),
        sites=(_site("Ce", 0, 0, 0, 0.25), _site("O", 0.25, 0.25, 0.25, 0.45)),
        source="NIST SRM 674b certificate (a); fluorite type",
    ),
    replace(
        _cubic("LaB6", 221, "P m -3 m", 4.156826, 6.4e-6),
        sites=(_site("La", 0, 0, 0, 0.35), _site("B", 0.1997, 0.5, 0.5, 0.3)),
        source="NIST SRM 660c certificate (a); Eliseev et al., "
        "Sov. Phys. Crystallogr. 31, 478 (1986)",
    ),
    replace(
        _cubic("Si", 227, "F d -3 m:2", 5.43123, 2.6e-6),
        sites=(_site("Si", 0.125, 0.125, 0.125, 0.46),),
        source="NIST SRM 640d certificate (a); diamond type",
    ),
    replace(
        _cubic("NaCl", 225, "F m -3 m", 5.6402, 40e-6),
        sites=(_site("Na", 0, 0, 0, 1.6), _site("Cl", 0.5, 0.5, 0.5, 1.35)),
        source="Swanson and Fuyat, NBS Circular 539 II, 41 (1953)",
    ),
    replace(
        _cubic("Ni", 225, "F m -3 m", 3.5238, 13e-6),
        sites=(_site("Ni", 0, 0, 0, 0.35),),
        source="Swanson and Tatge, NBS Circular 539 I, 13 (1953)",
    ),
    replace(
        _cubic("Al", 225, "F m -3 m", 4.0494, 23e-6),
        sites=(_site("Al", 0, 0, 0, 0.85),),
        source="Swanson and Tatge, NBS Circular 539 I, 11 (1953)",
    ),
    replace(
        _cubic("BaTiO3 cubic", 221, "P m -3 m", 4.0118, 11e-6),
        sites=(
            _site("Ba", 0, 0, 0, 0.5),
            _site("Ti", 0.5, 0.5, 0.5, 0.6),
            _site("O", 0.5, 0.5, 0, 0.8),
        ),
        reference_k=474.0,
        source="Edwards, Speiser and Johnston, J. Am. Chem. Soc. 73, 2934 (1951), "
        "at 201 degrees Celsius; perovskite type",
    ),
)
_OTHER_PHASES = (
    TetragonalTitanate(
        name="BaTiO3 tetragonal",
        space_group=99,
        setting="P 4 m m",
        lengths=(3.9909, 3.9909, 4.0352),
        sites=(
            _site("Ba", 0, 0, 0, 0.35),
            _site("Ti", 0.5, 0.5, 0.5135, 0.45),
            _site("O", 0.5, 0.5, -0.0250, 0.6),
            _site("O", 0.5, 0, 0.4850, 0.6),
        ),
        # Of the mean edge: chosen so that the volume meets the cubic one at 393 K.
        expansion=(6.8e-6, 6.8e-6, 6.8e-6),
        source="Buttner and Maslen, Acta Cryst. B48, 764 (1992) (cell); Harada, "
        "Pedersen and Barnea, Acta Cryst. A26, 336 (1970) (positions)",
    ),
    Phase(
        name="rutile",
        space_group=136,
        setting="P 42/m n m",
        lengths=(4.593659, 4.593659, 2.958682),
        sites=(_site("Ti", 0, 0, 0, 0.45), _site("O", 0.30479, 0.30479, 0, 0.45)),
        expansion=(7.1e-6, 7.1e-6, 9.2e-6),
        source="Abrahams and Bernstein, J. Chem. Phys. 55, 3206 (1971)",
    ),
    Phase(
        name="anatase",
        space_group=141,
        setting="I 41/a m d:1",
        lengths=(3.7845, 3.7845, 9.5143),
        sites=(_site("Ti", 0, 0, 0, 0.45), _site("O", 0, 0, 0.2081, 0.6)),
        expansion=(4.5e-6, 4.5e-6, 8.4e-6),
        source="Howard, Sabine and Dickson, Acta Cryst. B47, 462 (1991)",
    ),
    Phase(
        name="quartz",
        space_group=152,
        setting="P 31 2 1",
        lengths=(4.9160, 4.9160, 5.4054),
        gamma=120.0,
        sites=(
            _site("Si", 0.4697, 0, 1 / 3, 0.55),
            # Published for P 32 2 1 with z = 0.1191; here the enantiomorph.
            _site("O", 0.4135, 0.2669, 1 / 3 - 0.1191, 1.1),
        ),
        expansion=(13e-6, 13e-6, 7.5e-6),
        source="Levien, Prewitt and Weidner, Am. Mineral. 65, 920 (1980)",
    ),
    Phase(
        name="corundum",
        space_group=167,
        setting="R -3 c:H",
        lengths=(4.759091, 4.759091, 12.991779),
        gamma=120.0,
        sites=(_site("Al", 0, 0, 0.35216, 0.25), _site("O", 0.30624, 0, 0.25, 0.27)),
        expansion=(5.0e-6, 5.0e-6, 5.9e-6),
        source="NIST SRM 676a certificate (cell); Maslen et al., "
        "Acta Cryst. B49, 973 (1993) (positions)",
    ),
    Phase(
        name="calcite",
        space_group=167,
        setting="R -3 c:H",
        lengths=(4.9896, 4.9896, 17.0610),
        gamma=120.0,
        sites=(
            _site("Ca", 0, 0, 0, 0.7),
            _site("C", 0, 0, 0.25, 0.75),
            _site("O", 0.2568, 0, 0.25, 1.3),
        ),
        expansion=(-5.6e-6, -5.6e-6, 25e-6),
        source="Effenberger, Mereiter and Zemann, Z. Kristallogr. 156, 233 (1981)",
    ),
)

PHASES = MappingProxyType({p.name: p for p in (*_CUBIC_PHASES, *_OTHER_PHASES)})
"""All phases by name."""


def phase(name: str) -> Phase:
    """Look a phase up.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in PHASES:
        msg = f"No phase is called {name!r}; known are {', '.join(PHASES)}."
        raise ValueError(msg)
    return PHASES[name]
