"""What a refusal adds: what lies beside the photos, and which option uses it."""

from collections.abc import Iterator
from contextlib import contextmanager

from block.errors import BlockError
from block.photos.boxes import has_boxes
from block.photos.folder import PhotoFolder
from block.photos.foreign import describe_foreign, foreign_labels
from block.photos.labels import NoLabelsError
from esp32_deploy.file_kinds import describe_unread
from esp32_deploy.words import Task


@contextmanager
def advised(folder: PhotoFolder, task: Task | None) -> Iterator[None]:
    """Adds to a BlockError in the body what lies beside the photos, and which option uses it."""
    try:
        yield
    except BlockError as error:
        found = [describe_foreign(foreign_labels(folder)), describe_unread(folder.others)]
        if task == "classification" and has_boxes(folder):
            found.append("These photos have boxes. To learn where objects are, use --task detection.")
        if not any(found) and isinstance(error, NoLabelsError):
            found.append("The simplest remedy: make one folder for each class and put its photos into it.")
        raise BlockError(" ".join(filter(None, [str(error), *found]))) from error
