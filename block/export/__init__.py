"""Files that a board can run, and the runtimes that run them here."""
