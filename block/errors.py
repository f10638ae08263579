"""The block's error that a person is meant to read: what happened, where, and what to do."""


class BlockError(Exception):
    """A failure with a message written for the block's user; commands print it in one line and exit with 1."""
