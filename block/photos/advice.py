"""What a refusal adds: what lies beside the photos, and which option uses it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from block.errors import BlockError
from block.photos import voc, yolo
from block.photos.boxes import has_boxes
from block.photos.folder import PhotoFolder
from block.photos.foreign import describe_foreign, foreign_labels
from block.photos.labels import NoLabelsError
from esp32_deploy.file_kinds import describe_unread
from esp32_deploy.words import Task

LABEL_FOLDERS = (yolo.LABEL_FOLDER, voc.LABEL_FOLDER)


@contextmanager
def advised(folder: PhotoFolder, task: Task | None) -> Iterator[None]:
    """Adds to a BlockError in the body what lies beside the photos, and which option uses it."""
    try:
        yield
    except BlockError as error:
        found = [describe_foreign(foreign_labels(folder)), describe_unread(folder.others)]
        if task == "classification" and has_boxes(folder):
            found.append("These photos have boxes. To learn where objects are, use --task detection.")
        found.append(_labels_beside(folder.root))
        if not any(found) and isinstance(error, NoLabelsError):
            found.append("The simplest remedy: make one folder for each class and put its photos into it.")
        raise BlockError(" ".join(filter(None, [str(error), *found]))) from error


def _labels_beside(root: Path) -> str:
    """A sentence about a folder for labels that lies beside the photo folder, where it is not read; else empty."""
    above = root.resolve().parent
    try:
        names = sorted(path.name for path in above.iterdir() if path.name.casefold() in LABEL_FOLDERS and path.is_dir())
    except OSError:
        return ""
    if not names or root.resolve() == above / names[0]:
        return ""
    return f"The folder {names[0]} lies beside {root}. If it has the labels of the photos, name {above} instead."
