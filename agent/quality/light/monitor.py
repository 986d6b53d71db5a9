"""``beam_drop`` and ``i0_suspect``: does the light on the detector follow the monitor?

A frame and the beam monitor before the sample rise and fall together: decay and top-up
of the ring, a filter before the monitor. Where they part, the one that jumped is wrong;
but a frame that holds more light than it should found no new beam: the monitor missed
some, or a filter behind it went out.
"""

from __future__ import annotations

import math
from collections import deque

from ringwatch.agent.nouns import Flag, FlagState
from ringwatch.agent.quality.facts import FrameFacts, Reference, Seen, find_readback
from ringwatch.agent.quality.findings import Finding, clear, not_evaluated, raised
from ringwatch.agent.quality.geometry.rings import Profiles
from ringwatch.agent.quality.light.beside_shadow import LightView, beside_shadow
from ringwatch.agent.quality.light.comparison import (
    LEAST,
    NO_REFERENCE,
    Comparison,
    measure_unevenness,
    monitor_ratio,
    most_sectors,
)
from ringwatch.agent.quality.light.even_light import judge_even_light
from ringwatch.agent.quality.settings import QualitySettings

__all__ = ["LightHistory"]

_LEAST_STEPS = 5
_REMEMBERED = 32  # frames whose scatter of intensity over I0 is known
_STEEPEST = 0.7  # of the departure, from the innermost light to the outermost
_SIGMAS = 2.0  # of that by counting noise, which must not hide a lost beam
_MOST_SCATTER = 0.45  # of the departure, between stretches of the radius
_MOST = 0.6  # of the sectors; a shadow, or what was not read out, takes half at most
_STAYED = 0.3  # of the departure; grains that come and go make sectors differ as well


class LightHistory:
    """Follows intensity over I0 through a run.

    Kept are the scatter of that ratio between frames, by which a departure must stand
    out, and the last frame in which both agreed: what has moved since then is at fault.
    """

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=_REMEMBERED)
        self._last = math.nan
        self._agreed = (0.0, 0.0)  # logarithms: light, I0

    def judge(
        self,
        facts: FrameFacts,
        seen: Seen,
        reference: Reference | None,
        settings: QualitySettings,
    ) -> list[Finding]:
        """Give ``beam_drop`` and ``i0_suspect`` of the next frame.

        And ``stale_calibration`` where all pixels got the same counts more: raised, or
        not mentioned.
        """
        if seen.profiles is None:
            return _neither("no pattern without a geometry")
        light = seen.light
        counts = _counts(seen.profiles) if light is None else light.counts
        self._follow(facts, counts, settings)
        if reference is None:
            return _neither(NO_REFERENCE)
        if light is None:
            return _neither("the run's first frames hold no light to compare with")
        monitor = monitor_ratio(facts, reference, settings, light.total)
        if isinstance(monitor, str):
            return _neither(monitor)
        found = self._decide(seen, reference, light, monitor, settings)
        if any(each.state is FlagState.RAISED for each in found):
            return _unless_flooded(found, facts, light, monitor, settings)
        even = judge_even_light(facts, seen, reference, monitor, settings, self.scatter)
        return found if even is None else [*found, even]

    @property
    def scatter(self) -> float:
        """Standard deviation of the ratio between frames (median), relative.

        0 while there are too few frames to tell scatter from a fault or two.
        """
        steps = sorted(self._steps)
        if len(steps) < _LEAST_STEPS:
            return 0.0
        return 1.4826 / math.sqrt(2) * steps[len(steps) // 2]

    def _follow(
        self, facts: FrameFacts, counts: float, settings: QualitySettings
    ) -> None:
        """Remember how much intensity over I0 changed from the frame before."""
        now = facts.ref.readbacks
        key = find_readback(now, settings.i0_key, suffixes=("i0",))
        if key is None or not 0 < now[key] < math.inf:
            return
        if not counts > 0:
            return
        level = math.log(counts) - math.log(now[key])
        if math.isfinite(self._last):
            self._steps.append(abs(level - self._last))
        self._last = level

    def _decide(
        self,
        seen: Seen,
        reference: Reference,
        light: Comparison,
        monitor: tuple[str, float, float],
        settings: QualitySettings,
    ) -> list[Finding]:
        key, i0, longer = monitor
        if i0 <= 0:
            return _no_monitor(key, i0, light, longer, settings)
        ratio, noise, z = self._compared(light, i0)
        logs = math.log(max(light.total, LEAST)), math.log(i0)
        if abs(logs[0] - logs[1]) < max(settings.beam_tolerance / 3, noise):
            self._agreed = logs
        over = max(ratio, LEAST)
        further = {
            "intensity_ratio": light.total / longer,
            "i0_ratio": i0 / longer,
            "intensity_over_i0_sigma": noise,
        }
        drop = clear(Flag.BEAM_DROP, ratio, z=z, further=further)
        suspect = clear(Flag.I0_SUSPECT, 1.0 / over, z=-z)
        if seen.profiles is None or not _matters(ratio, z, settings):
            return [drop, suspect]
        view, outside = LightView(seen.profiles, reference, light), None
        if ratio < 1.0:  # some of it may be in the shade: the rest tells
            outside = beside_shadow(seen, reference, settings)
        if outside is not None:
            view = outside
            ratio, noise, z = self._compared(view.light, i0)
            further = {**further, "intensity_over_i0_sigma": noise}
        if not (_matters(ratio, z, settings) and _departed(view, i0)):
            return [drop, suspect]
        logs = math.log(max(view.light.total, LEAST)), logs[1]
        moved = [abs(now - then) for now, then in zip(logs, self._agreed, strict=True)]
        if moved[1] > moved[0]:
            return [drop, _lying(key, i0, view.light.total, z)]
        if ratio < 1.0:
            return [_dropped(ratio, z, further, shaded=outside is not None), suspect]
        return [drop, _too_bright(key, ratio, z)]

    def _compared(self, light: Comparison, i0: float) -> tuple[float, float, float]:
        """Light over I0, its standard deviation, and how many of these from 1."""
        ratio = light.total / i0
        noise = max(light.sigma / i0, self.scatter * max(ratio, 0.0))
        return ratio, noise, (ratio - 1.0) / noise if noise > 0 else 0.0


def _counts(profiles: Profiles) -> float:
    return float(profiles.whole @ profiles.mean)


def _unless_flooded(
    found: list[Finding],
    facts: FrameFacts,
    light: Comparison,
    monitor: tuple[str, float, float],
    settings: QualitySettings,
) -> list[Finding]:
    """Take back a lying monitor where the frame holds too much for its pixels."""
    drop, suspect = found
    flooded = light.total > (1.0 + settings.beam_tolerance) * monitor[2]
    flooded = flooded and bool(facts.cake.saturated.any())
    if flooded and suspect.state is FlagState.RAISED:
        why = "pixels are at full scale: the light is the fault, and not known"
        return [drop, not_evaluated(Flag.I0_SUSPECT, why)]
    return found


def _matters(ratio: float, z: float, settings: QualitySettings) -> bool:
    return abs(ratio - 1.0) > settings.beam_tolerance and abs(z) >= settings.threshold


def _departed(view: LightView, i0: float) -> bool:
    """Whether all of the light departed from I0, rings or not, in all directions."""
    profiles, reference, light = view
    total = max(light.total, LEAST)
    apart = math.log(total) - math.log(i0)
    return (
        _alike(light, i0, apart)
        and _even(profiles, reference, max(light.total / i0, LEAST))
        and _everywhere(profiles, reference, i0, apart)
    )


def _alike(light: Comparison, i0: float, apart: float) -> bool:
    """Whether rings and the scattering between them departed together.

    A lost sample, a phase transition and a new pedestal change only one of them.
    """
    parts = [light.between]
    if light.ring_z > 10 and light.ring_share > 0.02:
        parts.append(light.rings)
    departed = [math.log(max(part, LEAST) / i0) for part in parts]
    return all(part / apart > 0.5 for part in departed)


def _even(profiles: Profiles, reference: Reference, ratio: float) -> bool:
    """Whether the light departed by one factor, from the inner rings to the outer.

    Heat and a transition take light from the outer rings and leave the innermost; a
    robot's next sample has its light elsewhere. Without light there is nothing to see.

    Parameters
    ----------
    ratio : float
        Light over I0, both over the reference's.
    """
    uneven = measure_unevenness(profiles, reference)
    if uneven is None:
        return True
    kept = abs(1.0 - 1.0 / ratio)  # beside the whole, of light that did not depart
    steep = abs(uneven.trend) - _SIGMAS * uneven.sigma > _STEEPEST * kept
    return not steep and uneven.scatter < _MOST_SCATTER * kept


def _everywhere(
    profiles: Profiles, reference: Reference, i0: float, apart: float
) -> bool:
    """Whether the light departed in most of the azimuth, and not in half of it or less.

    A shadow, a half-read frame and a lost module take light from some sectors only.
    """
    share = _MOST if apart < 0.0 else 1.0 - _MOST
    sectors = most_sectors(profiles, reference, share) / i0
    return not math.log(max(sectors, LEAST)) / apart < _STAYED


def _dropped(
    ratio: float, z: float, further: dict[str, float], *, shaded: bool
) -> Finding:
    held = "what no shadow darkens of the frame holds" if shaded else "the frame holds"
    return raised(
        Flag.BEAM_DROP,
        ratio,
        f"{held} {ratio:.1%} of the light that I0 lets expect ({abs(z):.0f} "
        "sigma): it is lost behind the monitor, look at shutter, attenuators and "
        "sample",
        z=z,
        further=further,
    )


def _lying(key: str, i0: float, total: float, z: float) -> Finding:
    return raised(
        Flag.I0_SUSPECT,
        i0 / max(total, LEAST),
        f"{key} reads {i0 / max(total, LEAST):.1%} of what the frame's light lets "
        f"expect ({abs(z):.0f} sigma), the frame has not changed: do not normalise by "
        "it, look at the monitor",
        z=-z,
    )


def _too_bright(key: str, ratio: float, z: float) -> Finding:
    return raised(
        Flag.I0_SUSPECT,
        1.0 / ratio,
        f"the frame holds {ratio:.3g} times the light that {key} lets expect "
        f"({abs(z):.0f} sigma), and it is the light that changed: a filter behind the "
        "monitor went out (or was in during the run's first frames), more sample "
        "came into the beam, or the monitor reads too little; do not normalise by it "
        "before you know",
        z=-z,
    )


def _no_monitor(
    key: str, i0: float, light: Comparison, longer: float, settings: QualitySettings
) -> list[Finding]:
    """A monitor at or below 0: a lie where the frame still holds light."""
    lit = light.total / longer
    why = f"{key} reads {i0:.1%} of its value in the run's first frames"
    z = light.total / light.sigma if light.sigma > 0 else 0.0
    missing = not_evaluated(Flag.BEAM_DROP, why)
    if lit < settings.least_beam or z < settings.threshold:
        return [missing, clear(Flag.I0_SUSPECT, i0 / max(light.total, LEAST), z=-z)]
    return [
        missing,
        raised(
            Flag.I0_SUSPECT,
            i0 / light.total,
            f"{why}, but the frame has {lit:.1%} of its light: look at the monitor",
            z=-z,
        ),
    ]


def _neither(why: str) -> list[Finding]:
    return [not_evaluated(Flag.BEAM_DROP, why), not_evaluated(Flag.I0_SUSPECT, why)]
