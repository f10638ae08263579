"""The one base of errors that a person is meant to read, and how any other error is shown."""


class DeployError(ValueError):
    """A failure with a message written for people: what happened, where, and what to do."""


def in_one_line(error: Exception) -> str:
    """An error's kind and what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def unexpected(error: Exception) -> str:
    """One line for an error that nobody foresaw."""
    return f"{in_one_line(error)} (unexpected; --debug shows where)"
