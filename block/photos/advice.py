"""What a refusal adds: what lies beside the photos, and which option uses it."""

from block.photos.boxes import has_boxes
from block.photos.folder import PhotoFolder
from block.photos.foreign import describe_foreign, foreign_labels
from block.photos.labels import NoLabelsError
from esp32_deploy.file_kinds import describe_unread
from esp32_deploy.words import Task


def advice(folder: PhotoFolder, error: Exception, task: Task | None) -> str:
    """Sentences that begin with a blank; empty if nothing helps. `error` is the refusal."""
    found = [describe_foreign(foreign_labels(folder)), describe_unread(folder.others)]
    if task == "classification" and has_boxes(folder):
        found.append("These photos have boxes. To learn where objects are, use --task detection.")
    if not any(found) and isinstance(error, NoLabelsError):
        found.append("The simplest remedy: make one folder for each class and put its photos into it.")
    return "".join(f" {text}" for text in found if text)
