"""What each published field says, in words: for the reference page of the fields."""

from __future__ import annotations

__all__ = ["MEANINGS", "VALUES"]

MEANINGS = {
    "raw_data_key": "data key of the images in the raw run",
    "raw_seq_num": "`seq_num` of the frame's event; after a pause two frames may share "
    "one, and the larger `raw_index` counts",
    "raw_index": "ordinal of the frame in its data key, from 0",
    "raw_time": "time of the frame's event; NaN where pixels came ahead of it",
    "revision": "0, and one more with each later verdict on the same frame",
    "final": "whether this is the last word; exactly one revision of a frame is final",
    "verdict": "`good`, `suspect`, `misaligned`, `bad` or `unknown`",
    "reason": "one sentence why, with number and unit",
    "primary_flag": "root cause: the first raised flag in the order of causes",
    "also": "the other raised flags, with commas",
    "alarm": "root cause of the alarm in force",
    "alarm_since": "index of the frame at which it began; -1 without",
    "alarm_episode": "for the how many-th time in this run; 0 without",
    "alarm_new": "whether to call somebody: once per cause and run",
    "dq": "bits of the raised flags",
    "dq_evaluated": "bits of the flags that were evaluated",
    "not_evaluated": "flags that were not, a line each, with the reason",
    "latency_ms": "from the arrival of the frame's document to its verdict",
    "wait_ms": "of it: waiting for its turn, and on its way between stages",
    "read_ms": "of it: reading and decoding, its dark included",
    "reduce_ms": "of it: cake and pattern",
    "flags_ms": "of it: the flags",
    "classify_ms": "of it: the classifier",
    "label": "extinction symbol of the likeliest class, such as `F---`",
    "label_prob": "its probability",
    "label_set": "symbols of the classes that are not excluded, with commas",
    "unsure": "whether the classifier abstains",
    "novelty": "how unlike anything known the pattern is",
    "class_numbers": "the five likeliest of the 97 powder classes, each by its "
    "smallest space-group number",
    "class_probs": "their probabilities",
    "space_group_numbers": "the same distribution seen as space groups: five likeliest",
    "space_group_probs": "their probabilities",
    "crystal_system_probs": "of triclinic, monoclinic, orthorhombic, tetragonal, "
    "trigonal, hexagonal and cubic",
    "embedding": "where the pattern lies on the network's own map; like patterns lie "
    "close",
    "intensity": "the pattern",
    "sigma": "its standard deviation",
    "intensity_corrected": "the pattern about its own rings' centre, where that "
    "moved by little; else NaN",
    "sigma_corrected": "its standard deviation",
    "intensity_robust": "the pattern without the sectors in which spots, zingers or "
    "hot pixels stand out, where they are raised; the label is then of this one",
    "sigma_robust": "its standard deviation",
}

VALUES = {
    "beam_center_dy_px": "displacement of the rings' centre along y",
    "beam_center_sigma_px": "standard deviation of the displacement",
    "changed_share": "share of the pattern's shape that changed since the frame before",
    "crystalline_fraction": "share of all light that stands in rings",
    "dark_scale": "pattern of the dark in the frame, over that of the dark itself",
    "deviatoric_strain_sigma_ppm": "standard deviation of the strain",
    "displacement_sigma_um": "standard deviation of the displacement",
    "drift_dx_px_per_frame": "drift of the centre along x, a frame",
    "drift_dy_px_per_frame": "drift of the centre along y, a frame",
    "drift_intensity_per_frame": "relative drift of the intensity, a frame",
    "grain_error": "relative scatter of a ring's mean due to the number of grains",
    "hot_share": "share of the frame's counts in hot pixels",
    "i0_ratio": "beam monitor over that of the reference, same exposure",
    "intensity_over_i0_sigma": "standard deviation of `intensity_over_i0`",
    "intensity_ratio": "light over that of the reference, same exposure",
    "mask_edge_fraction": "light of pixels along the mask, over what their rings have",
    "precision": "standard deviation over intensity of the strongest rings",
    "radial_scale_sigma_ppm": "standard deviation of the scale",
    "saturated_share": "share of the recorded counts in saturated pixels",
    "sharp_width_q": "width below which structure counts as sharp",
    "spots": "bright spots that were found",
    "tilt_sigma_deg": "standard deviation of the tilt",
    "tilt_y_deg": "tilt about the other axis",
    "zinger_share": "share of the frame's counts in zingers",
}
