"""Where the rings lie: centre, tilt, radial scale, strain."""
