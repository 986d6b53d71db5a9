"""Files that documents name, read with care: HDF5, images, measured patterns."""
