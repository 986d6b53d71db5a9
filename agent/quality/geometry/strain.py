"""``strain``: are the rings ellipses, as those of a stressed sample are?

A deviatoric strain changes the radii with cos(2 chi), in proportion to the radius (He,
"Two-dimensional X-ray Diffraction", 2009, ch. 9). This is science, never misalignment.
"""

from __future__ import annotations

from ringwatch.agent.nouns import Flag
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.ring_center import CenterFit, CenterSearch
from ringwatch.agent.quality.geometry.tilt import significant_tilt, why_not_even
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["judge_strain"]

_FLOOR = 5e-4  # relative; good calibrations of Pilatus detectors left 2e-4 and 4e-4


def judge_strain(
    found: CenterSearch, reference: CenterFit | None, settings: QualitySettings
) -> Finding:
    """Tell of an ellipticity of ``strain_tolerance`` since the reference.

    Against the geometry alone it takes 5e-4: calibrations leave nearly as much. Not
    evaluated where the detector is tilted: in second order a tilt makes ellipses.
    """
    flag = Flag.STRAIN
    fit = found.fit
    if fit is None or fit.strain is None:
        return not_evaluated(flag, why_not_even(found))
    if significant_tilt(fit, reference, settings) is not None:
        return not_evaluated(
            flag, "the detector is tilted, which makes rings elliptical as well"
        )
    value = fit.strain.length * 1e6
    further = {"deviatoric_strain_sigma_ppm": fit.strain.sigma * 1e6}
    tolerance = settings.strain_tolerance
    shown, since = fit.strain, ""
    if not shown.beyond(max(tolerance, _FLOOR), settings):
        if reference is None or reference.strain is None:
            return clear(flag, value, z=shown.z, further=further)
        shown, since = shown.minus(reference.strain), " since the run's first frames"
        if not shown.beyond(tolerance, settings):
            return clear(flag, value, z=fit.strain.z, further=further)
    return raised(
        flag,
        value,
        f"rings are elliptical by {shown.length * 1e6:.0f} ppm{since} ({shown.z:.0f} "
        "sigma): the sample is under uniaxial stress, or the geometry lacks a tilt",
        z=shown.z,
        further=further,
    )
