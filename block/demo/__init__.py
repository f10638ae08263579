"""The drawn data set: photo-like scenes of fruit, with labels and boxes."""
