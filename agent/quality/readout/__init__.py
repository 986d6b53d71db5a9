"""What needs no light: readout, sequence, pixels, mask, dark."""
