"""Photos with a coloured block each, drawn for a test, and label files that say where it is."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from block.data import reading
from block.photos.prepare import prepare
from block.settings import PhotoSettings

GRAY, RED, GREEN, BLUE = (40, 40, 40), (255, 0, 0), (0, 200, 0), (0, 0, 255)
SIDE = 96


def draw(path, box, colour=RED, size=(SIDE, SIDE), orientation=1):
    """A gray photo of `size` (width, height) as stored. The block is at `box`: left, top, right, bottom in px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, GRAY)
    image.paste(colour, box)
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    image.save(path, exif=exif, quality=95)
    return path


def named_box(label, box):
    edges = "".join(
        f"<{edge}>{value}</{edge}>" for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{label}</name><bndbox>{edges}</bndbox></object>"


def annotate(path, *objects, size=None, more=""):
    """A Pascal VOC file. An object is a label and its box: left, top, right, bottom."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if size:
        more += f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    path.write_text(f"<annotation>{more}{''.join(named_box(*each) for each in objects)}</annotation>")


def named(folder, file_name):
    return f"<folder>{folder}</folder><filename>{file_name}</filename>"


def export_box(label, box):
    left, top, right, bottom = box
    return {"label": label, "x": left, "y": top, "width": right - left, "height": bottom - top}


def write_export(path, entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, "files": entries}))


def prepared(photos, out: Path, size=SIDE, task="detection", **choices):
    return prepare(photos, out, PhotoSettings(size=size, task=task, **choices), seed=1)


def boxes_in(out):
    """The boxes of each photo in prepared arrays, by photo name: label, x, y, width, height in px of the input."""
    data = reading.read(out)
    return {
        name: [(data.classes[label], *edges) for label, *edges in boxes.tolist()]
        for split in data.splits.values()
        for name, boxes in zip(split.sample_names, split.labels, strict=True)
    }


def assert_boxes_surround_their_blocks(out, most_px=1):
    """Each box of one photo must have the edges of the block in the pixels. Each photo must have exactly one."""
    data = reading.read(out)
    for split in data.splits.values():
        for name, pixels, boxes in zip(split.sample_names, split.features, split.labels, strict=True):
            rows, columns = np.nonzero(np.asarray(pixels).max(axis=2) > 0.55)
            ((_, x, y, width, height),) = boxes.tolist()
            drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(np.subtract(drawn, [x, y, x + width, y + height])).max() <= most_px, name
