"""Writes the boxes of photos as YOLO and COCO sets, for tests. It shares no code with the readers."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import yaml

YAML_KEYS = {"train": "train", "valid": "val", "test": "test"}


def boxes_of_voc(file: Path):
    """The label, left, top, right and bottom of each object in a Pascal VOC file."""
    root = ElementTree.parse(file).getroot()
    return [
        (each.findtext("name"), *(float(each.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")))
        for each in root.iter("object")
    ]


def write_yolo(root: Path, photos, names):
    """`photos` are split, photo, size and boxes of each. The layout is Roboflow's: train/images, train/labels."""
    for split, photo, (width, height), boxes in photos:
        copied = root / split / "images" / photo.name
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, copied)
        lines = []
        for label, left, top, right, bottom in boxes:
            shares = ((left + right) / 2 / width, (top + bottom) / 2 / height)
            shares += ((right - left) / width, (bottom - top) / height)
            lines.append(" ".join([str(names.index(label)), *(f"{share:.15f}" for share in shares)]))
        labels = root / split / "labels" / f"{photo.stem}.txt"
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("\n".join(lines))
    splits = {split for split, *_ in photos}
    places = {key: f"../{split}/images" for split, key in YAML_KEYS.items() if split in splits}
    (root / "data.yaml").write_text(yaml.safe_dump({**places, "nc": len(names), "names": names}))


def write_coco(root: Path, photos, names):
    """As `write_yolo`. The layout is Roboflow's: train/_annotations.coco.json beside the photos. Ids are sparse."""
    for split in {split for split, *_ in photos}:
        here = [each[1:] for each in photos if each[0] == split]
        images, annotations = [], []
        for number, (photo, (width, height), boxes) in enumerate(here):
            (root / split).mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, root / split / photo.name)
            images.append({"id": 3 * number, "file_name": photo.name, "width": width, "height": height})
            annotations += [
                coco_annotation(3 * number, 7 + 5 * names.index(label), [left, top, right - left, bottom - top])
                for label, left, top, right, bottom in boxes
            ]
        write_coco_file(root / split / "_annotations.coco.json", images, annotations, names)


def coco_annotation(image, category, bbox, **more):
    return {"id": 1, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0, **more}


def write_coco_file(path: Path, images, annotations, names=("cat", "dog")):
    """The ids of the categories are 7, 12, 17, … Category 0 is a supercategory, as in Roboflow's exports."""
    categories = [{"id": 0, "name": "things", "supercategory": "none"}]
    categories += [{"id": 7 + 5 * n, "name": name, "supercategory": "things"} for n, name in enumerate(names)]
    numbered = [{**each, "id": number} for number, each in enumerate(annotations)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": numbered, "categories": categories}))
