"""How the light is spread around the azimuth: grains, texture, shadow, leak."""
