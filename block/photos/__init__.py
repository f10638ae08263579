"""Converts a folder of photos to a block directory: finds labels and splits, and decodes the photos."""
