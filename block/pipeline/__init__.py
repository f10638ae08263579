"""The stages of a run, one module each. Only these modules use more than one package of the block."""
