"""Draws the demo data set: photo-like scenes of fruit, with class labels and boxes."""
