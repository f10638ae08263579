"""Recognizes label formats that this block does not read, so that messages can name them."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from block.photos.folder import PhotoFolder

# The keys that tell a format stand near the beginning or the end of a file.
PEEKED_BYTES = 1 << 16
PEEKED_ROWS = 50


@dataclass(frozen=True)
class ForeignLabels:
    """Files in a label format that this block does not read."""

    format: str
    files: tuple[str, ...]
    """Their names below the photo folder."""

    def __str__(self) -> str:
        count = f"{len(self.files)} files, such as " if len(self.files) > 1 else ""
        return f"{self.format} ({count}{self.files[0]})"


def foreign_labels(folder: PhotoFolder) -> list[ForeignLabels]:
    """The label formats beside the photos that this block does not read."""
    photos = {PurePosixPath(name).name for name in folder.paths}
    known = photos | {PurePosixPath(name).stem for name in photos}
    found: dict[str, list[str]] = {}
    for name, path in folder.others.items():
        recognize = _RECOGNIZERS.get(path.suffix.lower())
        if recognize and (format_name := recognize(path, known)):
            found.setdefault(format_name, []).append(name)
    return [ForeignLabels(format_name, tuple(names)) for format_name, names in found.items()]


def describe_foreign(found: Iterable[ForeignLabels]) -> str:
    """A sentence that names the formats, and how to convert them; empty if there are none."""
    listed = " and ".join(map(str, found))
    if not listed:
        return ""
    return (
        f"Labels in another format lie beside the photos: {listed}. This block does not read them. Convert boxes to "
        "YOLO, COCO or Pascal VOC, for example with Roboflow, CVAT or Label Studio. For classes, make one "
        "folder for each."
    )


def _of_json(path: Path, known: set[str]) -> str | None:  # noqa: ARG001
    text = _peek(path)
    keys = set(re.findall(r'"(\w+)"\s*:', text))
    formats = {
        "labelme": {"shapes", "imagePath"},
        "CreateML": {"image", "annotations", "coordinates"},
        "Label Studio": {"data", "annotations"},
        "VGG Image Annotator": {"regions", "filename"},
    }
    return next((name for name, needed in formats.items() if needed <= keys), None)


def _of_xml(path: Path, known: set[str]) -> str | None:  # noqa: ARG001
    return "CVAT" if re.search(r"<annotations[\s>].*<image\s", _peek(path), re.DOTALL) else None


def _of_table(path: Path, known: set[str]) -> str | None:
    rows = _peek(path).splitlines()[1:PEEKED_ROWS]
    cells = {re.split(r"[/\\]", cell.strip(' "'))[-1] for row in rows for cell in re.split(r"[,;\t]", row)}
    return "CSV" if any(cell in known and not cell.isdigit() for cell in cells) else None


def _of_record(path: Path, known: set[str]) -> str | None:  # noqa: ARG001
    return "TFRecord"


_RECOGNIZERS: dict[str, Callable[[Path, set[str]], str | None]] = {
    ".json": _of_json,
    ".xml": _of_xml,
    ".csv": _of_table,
    ".tsv": _of_table,
    ".tfrecord": _of_record,
    ".record": _of_record,
}


def _peek(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(PEEKED_BYTES)
            rest = path.stat().st_size - len(head)
            if rest > 0:
                file.seek(-min(rest, PEEKED_BYTES), 2)
                head += file.read()
    except OSError:
        return ""
    return head.decode("utf-8-sig", "replace")
