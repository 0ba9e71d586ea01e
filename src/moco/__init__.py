"""Momentum Contrast: an encoder from images without labels. Names are resolved when first used."""
