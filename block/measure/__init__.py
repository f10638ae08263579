"""What a model is worth: accuracy and footprint."""
