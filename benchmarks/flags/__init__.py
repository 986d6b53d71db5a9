"""What each flag sees: faults injected, decoys, and frames without a fault."""
