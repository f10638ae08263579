"""Reads texts of any editor, and replaces files as a whole, so that neither a failure nor a kill leaves half a file."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esp32_deploy.errors import DeployError

# Windows marks a text's encoding in its first bytes. UTF-32 comes first, because its mark begins with that of UTF-16.
ENCODING_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
SAVE_AS_UTF8 = "Save it as UTF-8: most editors have that under Save as > Encoding"


class EncodingError(DeployError):
    """A text is not UTF-8."""


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without the mark that Windows writes in front.

    Raises EncodingError, which names the file and the remedy, for another encoding; OSError if it cannot be read.
    """
    content = path.read_bytes()
    for mark, encoding in ENCODING_MARKS.items():
        if content.startswith(mark):
            raise EncodingError(f"{path} is {encoding}, not UTF-8. {SAVE_AS_UTF8}.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EncodingError(
            f"{path} is not UTF-8: line {line} has the byte {content[error.start]:#04x}. {SAVE_AS_UTF8}."
        ) from error
    if "\0" in text:
        raise EncodingError(f"{path} has zero bytes, as a text in UTF-16 has, not UTF-8. {SAVE_AS_UTF8}.")
    return text


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`. If the body succeeds, the temporary file is renamed to `path`.

    If the process is killed, the temporary file stays. `remove_temporary_files` removes it.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporary_files(directory: Path) -> None:
    """Removes temporary files of `replacing` that a killed process left in `directory`. No other process may write."""
    for path in directory.glob(".*.part"):
        path.unlink(missing_ok=True)
