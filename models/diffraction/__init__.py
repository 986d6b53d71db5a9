"""From a crystal to its powder lines, and from lines to a drawn pattern."""

from ringwatch.models.diffraction.lines import (
    Crystal,
    Grid,
    Reflections,
    cell_volume,
    direct_metric,
    line_areas,
    lorentz_polarization,
    reflections,
    render,
)

__all__ = [
    "Crystal",
    "Grid",
    "Reflections",
    "cell_volume",
    "direct_metric",
    "line_areas",
    "lorentz_polarization",
    "reflections",
    "render",
]
