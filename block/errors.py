"""The base class of the block's errors with a message for the user."""


class BlockError(Exception):
    """An error with a message for the user: what happened, where, and what to do.

    Commands print the message in one line and exit with 1.
    """
