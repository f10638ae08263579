"""Real photos labelled in Pascal VOC, written as YOLO and COCO by an independent writer, give the same bytes."""

import numpy as np
import pytest
from boxed_photos import boxes_in, prepared
from label_sets import boxes_of_voc, write_coco, write_yolo
from PIL import Image
from shared_data import SHARED_DATA

from block.data import reading

pytestmark = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs shared/data")
MOST_PHOTOS = 60


def fruit():
    files = [*sorted((SHARED_DATA / "fruit" / "train").glob("*.xml"))[:: 240 // MOST_PHOTOS]]
    return [
        (("train", "train", "valid", "test")[number % 4], file.with_suffix(".jpg"), file)
        for number, file in enumerate(files)
    ]


def bccd():
    root = SHARED_DATA / "bccd" / "BCCD"
    lists = {"train": "train", "valid": "val", "test": "test"}
    return [
        (split, root / "JPEGImages" / f"{stem}.jpg", root / "Annotations" / f"{stem}.xml")
        for split, name in lists.items()
        for stem in (root / "ImageSets" / "Main" / f"{name}.txt").read_text().split()[: MOST_PHOTOS // 3]
    ]


@pytest.mark.parametrize("write", [write_yolo, write_coco])
@pytest.mark.parametrize("dataset", [fruit, bccd])
def test_arrays_and_boxes_are_those_of_pascal_voc(tmp_path, dataset, write):
    photos = [(split, photo, Image.open(photo).size, boxes_of_voc(file), file) for split, photo, file in dataset()]
    for split, photo, _, _, file in photos:
        for path in (photo, file):
            copied = tmp_path / "voc" / split / path.name
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())
    names = sorted({label for _, _, _, boxes, _ in photos for label, *_ in boxes})
    write(tmp_path / "converted", [each[:4] for each in photos], names)
    by_voc = prepared(tmp_path / "voc", tmp_path / "by-voc")
    converted = prepared(tmp_path / "converted", tmp_path / "by-converted")
    assert converted.preparation.labels_from == write.__name__.removeprefix("write_")
    assert (converted.classes, converted.preparation.skipped) == (by_voc.classes, by_voc.preparation.skipped)
    assert set(by_voc.counts) == set(converted.counts)
    expected, found = everything(tmp_path / "by-voc"), everything(tmp_path / "by-converted")
    assert expected.keys() == found.keys() and len(expected) == len(photos)
    for photo, (split, pixels, boxes) in expected.items():
        assert found[photo][0] == split and found[photo][1:] == (pixels, boxes), photo


def everything(out):
    """Split, bytes of the pixels, and boxes of each photo by its file name."""
    boxes = boxes_in(out)
    return {
        name.rpartition("/")[2]: (split, np.asarray(pixels).tobytes(), boxes[name])
        for split, content in reading.read(out).splits.items()
        for name, pixels in zip(content.sample_names, content.features, strict=True)
    }
