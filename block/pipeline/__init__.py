"""The stages of a run, one module each; they alone know more than one room."""
