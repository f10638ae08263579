"""Draws small photos for the tests of preparation, and prepares them."""

from PIL import Image

from block.data import reading
from block.photos.prepare import prepare
from block.settings import PhotoSettings

SIZE = 48


def draw(path, colour=(255, 0, 0), size=(12, 8), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def draw_all(root, *names):
    for name in names:
        draw(root / name)
    return root


def run(photos, labels_from=None, seed=1, **choices):
    return prepare(photos, photos.parent / "out", PhotoSettings(size=SIZE, labels_from=labels_from, **choices), seed)


def names_by_split(photos):
    return {split: set(its.sample_names) for split, its in reading.read(photos.parent / "out").splits.items()}
