"""Derived documents on disk, before they go to Tiled."""
