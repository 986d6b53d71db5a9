"""What each flag means, what to do about it, and what it needs: words for people.

The pages in ``docs/flags`` are made from this table.
"""

from __future__ import annotations

from typing import NamedTuple

from ringwatch.agent.flags import Flag

__all__ = ["TEXTS", "FlagText"]


class FlagText(NamedTuple):
    """Words about one flag.

    Attributes
    ----------
    meaning : str
        What is seen in the frame when it is raised.
    remedy : str
        What to look at or to do.
    needs : str
        Without what it is not evaluated.
    """

    meaning: str
    remedy: str
    needs: str


_FRAME = "Nothing but the frame."
_RINGS = "A geometry, and rings that stand out of the noise."
_REFERENCE = "A reference: three sound frames of the same run, or a stored one."

TEXTS: dict[Flag, FlagText] = {
    Flag.INVALID_VALUES: FlagText(
        "Pixels hold NaN, infinities, negative counts, or values that wrapped around "
        "below zero. No detector writes these; a dark larger than the frame, "
        "subtracted in unsigned integers, does.",
        "Look at what stands between detector and file: dark subtraction, byte order, "
        "type of the pixels.",
        _FRAME,
    ),
    Flag.MISREAD: FlagText(
        "Part of the frame is missing (exactly 0, constant, or marked invalid where "
        "counts are expected), the image is mirrored, or it has another shape than the "
        "geometry.",
        "Check the modules and the readout; compare row order and rotation of the file "
        "with those of the calibration image.",
        "A geometry, or frames that are the same all over.",
    ),
    Flag.DUPLICATE: FlagText(
        "The bytes are those of one of the last 64 frames. Two exposures never agree "
        "byte for byte.",
        "A buffer is stuck: restart the detector's driver, take the frames again.",
        "Earlier frames of the same run.",
    ),
    Flag.SEQUENCE: FlagText(
        "The detector's own frame numbers skip, repeat or run backwards, or its clock "
        "does: frames were lost, doubled or swapped, and may be paired with the wrong "
        "motor positions.",
        "Do not trust the pairing of frames and positions around this one; look at the "
        "load of the detector's computer.",
        "A frame number written by the detector (a readback that ends in "
        "`frame_number`); the RunEngine's `seq_num` cannot show it.",
    ),
    Flag.NO_BEAM: FlagText(
        "The frame holds no more than its dark, or a few per cent of the brightness of "
        "the run's first frames. All other flags that need light are silent then.",
        "If the monitor is dark as well, the source or the front end is shut; if not, "
        "look at the shutter behind the monitor.",
        "A dark, a reference, rings, or scattering that falls off with the angle. It "
        "is not evaluated where a frame holds a few thousandths more than its dark and "
        "nothing else tells: a faint beam and a warmer sensor look the same.",
    ),
    Flag.BEAM_DROP: FlagText(
        "The frame lost intensity that the beam monitor did not lose, all of its light "
        "by one factor: light is lost between monitor and detector. Light that left "
        "only the rings, or the outer ones more than the inner, is no lost beam. "
        "Beside a shadow the sectors tell that it leaves alone.",
        "Look for an attenuator, a clipped shutter, a sample that absorbs more, a "
        "mirror or slit behind the monitor.",
        _REFERENCE + " And a readback of the monitor (`i0_key`).",
    ),
    Flag.I0_SUSPECT: FlagText(
        "The beam monitor changed and the frame did not: the monitor is wrong, and "
        "whatever is divided by it. Or the frame holds more light than the monitor "
        "lets expect, all of it by one factor.",
        "Check the ion chamber: gas, voltage, gain of the amplifier. Where the frame "
        "got brighter, look for a filter behind the monitor that went out.",
        _REFERENCE + " And a readback of the monitor (`i0_key`).",
    ),
    Flag.NO_SAMPLE: FlagText(
        "The rings of the run's first frames are gone and nothing sharp has come in "
        "their place, while the scattering of air and container stays: the sample left "
        "the beam.",
        "Look at the capillary and the stage: fallen out, settled, moved away.",
        _REFERENCE + " One with rings.",
    ),
    Flag.SATURATED: FlagText(
        "Pixels reached the end of their scale, so the strongest rings are too weak. "
        "Bad where they hold more than the tolerated share of the counts.",
        "Shorten the exposure or attenuate the beam.",
        "The saturation value: from the type of the pixels, or the setting.",
    ),
    Flag.COUNT_RATE_LOSS: FlagText(
        "Photons come faster than the pixels can count: the strongest rings lose more "
        "than the tolerated share.",
        "Attenuate the beam, or correct by the dead time.",
        "The dead time of a pixel (`dead_time_s`) and the exposure.",
    ),
    Flag.MASK_MISMATCH: FlagText(
        "Pixels along an edge of the mask hold far less than the rings beside them: "
        "dead areas stick out from under the mask. With signal under the mask on the "
        "other side, the mask is shifted.",
        "Make the mask anew from a frame of today; check binning and rotation.",
        "A mask (or a detector with gaps) and a geometry.",
    ),
    Flag.HOT_PIXELS: FlagText(
        "The same pixels are far brighter than their rings in frame after frame.",
        "Add them to the mask; a new dark may take them away.",
        "An earlier frame of the same run, and a geometry. Single hot pixels are told "
        "from zingers after three earlier frames.",
    ),
    Flag.ZINGERS: FlagText(
        "Single pixels, others in each frame, are far brighter than their rings: "
        "cosmic rays or noise, with a share of the counts that matters. In the first "
        "frame of a run they may be hot pixels as well: only another frame tells.",
        "Use several shorter exposures and their median.",
        "A geometry.",
    ),
    Flag.STALE_CALIBRATION: FlagText(
        "Dark or geometry do not belong to the frame: another exposure, another "
        "detector, hours old, or readbacks that contradict the geometry. Or every "
        "pixel holds the same counts more than I0 lets expect, while the rings stayed. "
        "A weak dark (about a count a pixel or less) has no pattern by which it could "
        "be recognised: a wrong one is seen by that light only, and where it was wrong "
        "from the first frames on, not at all.",
        "Take a dark with today's exposure; calibrate again, or load the geometry of "
        "this set-up.",
        "A dark with a pattern of its own, or (without any dark) readbacks of distance "
        "or energy.",
    ),
    Flag.SHADOW: FlagText(
        "A range of azimuth is darker than the one that faces it, or than it was: "
        "something stands in the way of the scattered beam.",
        "Look for the nozzle, the stage, a cable; mask what cannot be moved.",
        "A geometry; with a detector that sees only part of the azimuth, a reference.",
    ),
    Flag.BEAMSTOP_LEAK: FlagText(
        "The innermost part of the frame is brighter than it should be, unevenly: the "
        "direct beam, or a streak of a slit, gets past the beamstop. `leak_fraction` "
        "is the uneven part only. A leak that is centred on the beam and as bright all "
        "around is not seen: it is not told from scattering at small angles, of which "
        "a sample may have any amount.",
        "Close the shutter, then align the beamstop: the beam can cost the detector.",
        "A geometry.",
    ),
    Flag.BEAM_CENTER: FlagText(
        "The rings are not centred where the geometry says (or where they were): "
        "detector, beam or calibration moved. Rings get broader and split.",
        "Calibrate again; if it came during the run, find out what moved. The "
        "corrected pattern is published beside the plain one.",
        _RINGS + " Rings on a third of the azimuth at least.",
    ),
    Flag.TILT: FlagText(
        "The rings' centres drift outwards with the square of the radius: the detector "
        "is tilted by more than the geometry says.",
        "Calibrate again with rings out to the edge of the detector.",
        _RINGS + " Rings at several radii, so that tilt is told from centre.",
    ),
    Flag.RADIAL_SCALE: FlagText(
        "All rings grew or shrank together. Distance, energy, the place of the sample "
        "along the beam and the lattice all do that; readbacks decide whether it is a "
        "misalignment, information (the sample's temperature, or a pattern that "
        "changed its shape as well), or stays open. A distance or an energy that moved "
        "the other way, or by another amount, explains nothing; nor does a "
        "temperature explain more than solids expand: rings that shrink by 100 ppm "
        "per kelvin of warming, or grow by 20.",
        "Compare with temperature, distance and energy; name those readbacks in the "
        "settings.",
        _REFERENCE,
    ),
    Flag.SAMPLE_DISPLACED: FlagText(
        "The rings of a flat plate shifted with the cosine of the angle: its surface "
        "left the axis.",
        "Align the height of the sample again.",
        _REFERENCE + " And `flat_plate = true`.",
    ),
    Flag.STRAIN: FlagText(
        "The rings are elliptical: the sample is strained along one direction. That is "
        "science, no fault.",
        "Nothing; the value is there to be plotted.",
        _RINGS,
    ),
    Flag.GRAINY: FlagText(
        "So few grains are in the beam that they, not the counts, limit the precision "
        "of the rings.",
        "Rotate or oscillate the sample, grind it, widen the beam.",
        _RINGS + " Enough counts to tell grains from noise.",
    ),
    Flag.SPOTS: FlagText(
        "A few very bright spots hold a share of the counts that matters: diamonds, a "
        "substrate, coarse crystals, or a single crystal.",
        "Mask the spots, or reduce with a median over the azimuth.",
        "The pixels themselves, not only a pattern or a cake. Without a geometry only "
        "clusters that hold a quarter of the frame's counts are seen.",
    ),
    Flag.TEXTURE: FlagText(
        "The intensity varies smoothly and evenly along the rings: grains have a "
        "preferred orientation.",
        "Nothing for the symmetry; spin the sample or model it where intensities "
        "matter.",
        _RINGS + " Rings on most of the azimuth.",
    ),
    Flag.ICE: FlagText(
        "The rings of hexagonal ice are in the pattern. Rings of the sample may hide "
        "some of them, or too few counts: where a share that matters could be there "
        "unseen the flag is not evaluated, and says how much.",
        "Warm and dry the sample, check the cold gas stream.",
        "A sample below 273 K, by a readback of the temperature (`temperature_key`, in "
        "`temperature_unit`).",
    ),
    Flag.AMORPHOUS_ONLY: FlagText(
        "No structure sharper than the instrument's own width; the value is an upper "
        "limit of the crystalline share.",
        "Nothing, if that is the sample; else count longer, or look for the sample.",
        "A geometry, and counts enough to have seen one per cent.",
    ),
    Flag.LOW_COUNTS: FlagText(
        "The strongest rings are known worse than the target; the value is the "
        "exposure that reaches it.",
        "Expose so long, or average frames.",
        "A geometry; for the time, a readback of the exposure.",
    ),
    Flag.DRIFT: FlagText(
        "Something changes steadily from frame to frame: cell, centre or intensity. "
        "Heating does that, and radiation damage, and a slow beam.",
        "Compare with a fresh spot of the sample, and with temperature.",
        "Eight frames of the same run.",
    ),
    Flag.CHANGE_POINT: FlagText(
        "The shape of the pattern changed suddenly: a transition, a melt, a new "
        "sample. Never bad by itself.",
        "Look at the frames around it.",
        "Earlier frames of the same run.",
    ),
    Flag.NOVEL: FlagText(
        "The pattern looks like a mixture or like no crystal to the classifier.",
        "Read the label with care; see the label set.",
        "The classifier.",
    ),
    Flag.UNSURE: FlagText(
        "The classifier does not know: no class has the probability that an answer is "
        "asked to have.",
        "See the label set; count longer, widen the range of q.",
        "The classifier.",
    ),
    Flag.PIPELINE: FlagText(
        "The agent could not analyse the frame, was late or left it out: the reason "
        "says why. The frame itself may be sound.",
        "See the reason; `ringwatch replay` analyses the frame again.",
        "Nothing.",
    ),
}
