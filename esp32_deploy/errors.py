"""The base class of errors with a message for the user, and the text that is shown for any other error."""


def printable(text: str) -> str:
    """The text with control characters written as escapes. Names in damaged files may hold any character."""
    return "".join(one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in text)


class DeployError(ValueError):
    """An error with a message for the user: what happened, where, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def in_one_line(error: Exception) -> str:
    """The type of an error and its message, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def unexpected(error: Exception) -> str:
    """One line for an unexpected error."""
    return f"{in_one_line(error)} (unexpected; --debug shows where)"
