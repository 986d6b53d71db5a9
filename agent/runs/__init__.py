"""What becomes of a raw run here: its frames judged, accounted for, published."""
