"""Computes the scores and the memory footprint of a model."""
