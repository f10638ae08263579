"""The base class of the block's errors with a message for the user."""

from esp32_deploy.errors import printable


class BlockError(Exception):
    """An error with a message for the user: what happened, where, and what to do.

    Commands print the message in one line and exit with 1. Control characters are written as escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message).replace("\n", "\\n"))
