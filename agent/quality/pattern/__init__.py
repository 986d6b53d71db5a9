"""The pattern and its change: ice, crystallinity, drift, change."""
