"""How good a classifier is: data, scores, report, card, calibration."""
