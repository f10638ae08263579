"""Damaged data directories for benchmarks/damage.py: arrays, JSON, XML and images, and what their answer must be."""

import copy
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from block.data.reading import BlockData

SIZE_PX = 48
PHOTO_PX = (64, 48)
CLASSES = ("apple", "lime", "plum")
PHOTOS = {"train": 8, "test": 3}
"""Photos of each class in each folder."""
LABEL_FILE = "info.labels"
KINDS = ("arrays", "box arrays", "folders", "voc", "voc boxes", "export", "export boxes")
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, "", " ", "apple", "0", "\u202ex", "a\nb", 0, 1, -1, 2, 0.5, -0.5, 1e308, float("nan"), float("inf")),
    *(2**31, 2**63, 10**30, [], {}, [[]], ["apple"], {"label": "apple"}, "x" * 10_000),
)
ODD_TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "1.5",
    "nan",
    "inf",
    "1e400",
    "9" * 30,
    "٣",
    "1,5",
    "apple",
    "Apple",
    "new",
    "a\tb",
    "<",
)
ODD_MODES = ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F")
ODD_SIZES = ((1, 1), (1, 3000), (3000, 1), (9000, 9000))
DTYPES = ("<f4", ">f4", "<f8", "<f2", "|u1", "<i4", "<i8", "|b1", "<c8", "|S4", "<U2")
# An XML file that grows to gigabytes when its entities are replaced.
BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b0 "xxxxxxxxxx">{}]><annotation>&b12;</annotation>'.format(
    "".join(f'<!ENTITY b{level + 1} "{f"&b{level};" * 10}">' for level in range(12))
)
DEEP = "[" * 100_000


def write_base(folder: Path, kind: str) -> None:
    """Writes a whole data directory of a kind. All photos differ."""
    if kind in ("arrays", "box arrays"):
        _write_arrays(folder, with_boxes=kind == "box arrays")
        return
    generator = np.random.default_rng(KINDS.index(kind))
    entries = []
    for split, count in PHOTOS.items():
        for label, name in enumerate(CLASSES):
            place = folder / split / name if kind == "folders" else folder / split
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = generator.integers(0, 120, (PHOTO_PX[1], PHOTO_PX[0], 3), np.uint8)
                box = (4 + number, 6 + label, 20, 24)
                pixels[box[1] : box[1] + box[3], box[0] : box[0] + box[2], label] = 230
                path = place / f"{name}_{number}.{('png', 'jpg')[number % 2]}"
                Image.fromarray(pixels).save(path)
                if kind.startswith("voc"):
                    _write_voc(path.with_suffix(".xml"), path.name, name, box)
                entries.append(_entry(path.relative_to(folder).as_posix(), name, box, "boxes" in kind))
    if kind.startswith("export"):
        (folder / LABEL_FILE).write_text(json.dumps({"version": 1, "files": entries}))


def _write_arrays(folder: Path, with_boxes: bool) -> None:
    generator = np.random.default_rng(9)
    for name, count in {"split_train": 12, "split_test": 6}.items():
        np.save(folder / f"X_{name}.npy", generator.random((count, SIZE_PX, SIZE_PX, 3), np.float32))
        labels = np.arange(count) % len(CLASSES)
        if with_boxes:
            boxes = [{"label": int(label) + 1, "x": 4, "y": int(label), "w": 12, "h": 9} for label in labels]
            samples = [{"sampleId": row, "boundingBoxes": [box][: row % 4]} for row, box in enumerate(boxes)]
            (folder / f"Y_{name}.npy").write_text(json.dumps(samples))
        else:
            np.save(folder / f"Y_{name}.npy", np.eye(len(CLASSES), dtype=np.float32)[labels])
    info: dict[str, Any] = {"classes": CLASSES, "mode": "object-detection" if with_boxes else "classification"}
    info |= {"inputShapeString": f"({SIZE_PX}, {SIZE_PX}, 3)", "maxTrainingTimeSeconds": 1200}
    (folder / "train_input.json").write_text(json.dumps(info))
    (folder / "sample_id_details.json").write_text(json.dumps({"train": list(range(12)), "validation": [7] * 6}))


def _write_voc(path: Path, photo: str, label: str, box: tuple[int, ...]) -> None:
    x, y, width, height = box
    path.write_text(
        f"<annotation><folder>{path.parent.name}</folder><filename>{photo}</filename><size><width>{PHOTO_PX[0]}</width>"
        f"<height>{PHOTO_PX[1]}</height><depth>3</depth></size><object><name>{label}</name><bndbox><xmin>{x}</xmin>"
        f"<ymin>{y}</ymin><xmax>{x + width}</xmax><ymax>{y + height}</ymax></bndbox></object></annotation>"
    )


def _entry(path: str, label: str, box: tuple[int, ...], with_boxes: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": path, "category": "testing" if path.startswith("test") else "training"}
    if with_boxes:
        edges = dict(zip(("x", "y", "width", "height"), box, strict=True))
        return entry | {"label": {"type": "unlabeled"}, "boundingBoxes": [{"label": label, **edges}]}
    return entry | {"label": {"type": "label", "label": label}}


def damage(folder: Path, generator: random.Random) -> tuple[str, Path]:
    """Damages one file of a data directory. Returns the kind of damage and the file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    label_files = [path for path in files if path.suffix in (".json", ".labels", ".xml", ".npy")]
    path = generator.choice(label_files if label_files and generator.random() < 0.6 else files)
    form = _form(path)
    changes: dict[str, Change] = {"bytes": _bytes, "cut": _cut, "file": _file}
    if form in FORMS and generator.random() < 0.7:
        FORMS[form](path, generator)
        return form, path
    kind = generator.choice(list(changes))
    changes[kind](path, generator)
    return kind, path


def untouched(base: Path, folder: Path, path: Path, names: list[str]) -> set[str]:
    """The photos whose files, labels and boxes are the same in both directories. `path` is the damaged file."""
    same = {name for name in names if (folder / name).with_suffix("") != path.with_suffix("")}
    if path.name != LABEL_FILE:
        return same
    before, after = (_entries(place / LABEL_FILE) for place in (base, folder))
    return {name for name in same if name in after and before[name] == after[name]}


def array_fault(base: Path, folder: Path, data: BlockData) -> str | None:
    """What is wrong in the data that was read from damaged arrays, or None. The arrays are read here independently."""
    for name, split in (("split_train", data.train), ("split_test", data.validation)):
        pixels = np.load(folder / f"X_{name}.npy").reshape(split.features.shape)
        if not np.array_equal(pixels, split.features) or not (pixels.min() >= 0 and pixels.max() <= 1):
            return f"the images of {name} are not those in the file"
        if data.task == "classification":
            labels = np.load(folder / f"Y_{name}.npy")
            if not np.array_equal(np.eye(len(data.classes))[split.labels], labels):
                return f"the labels of {name} are not those in the file"
            continue
        boxes = [sample["boundingBoxes"] for sample in _samples(folder / f"Y_{name}.npy")]
        for drawn, read in zip(boxes, split.labels, strict=True):
            known = {(box["label"] - 1, *_inside(box)) for box in drawn}
            if not {tuple(map(int, box)) for box in read} <= known:
                return f"a box of {name} is not in the file"
    same = base / "train_input.json", folder / "train_input.json"
    if same[1].is_file() and same[0].read_bytes() == same[1].read_bytes() and data.classes != CLASSES:
        return f"the classes are {data.classes}"
    return None


def _samples(path: Path) -> Any:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    return content["samples"] if isinstance(content, dict) else content


def _inside(box: dict[str, Any]) -> tuple[int, ...]:
    left, top, width, height = (round(box[edge]) for edge in ("x", "y", "w", "h"))
    right, bottom = min(left + width, SIZE_PX), min(top + height, SIZE_PX)
    left, top = max(left, 0), max(top, 0)
    return left, top, right - left, bottom - top


def _entries(path: Path) -> dict[str, Any]:
    try:
        files = json.loads(path.read_text(encoding="utf-8-sig"))["files"]
        return {entry["path"]: entry for entry in files}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


Change = Callable[[Path, random.Random], None]


def _form(path: Path) -> str:
    if path.suffix in (".json", ".labels") or path.read_bytes()[:1] in (b"[", b"{"):
        return "JSON"
    return {".npy": "array", ".xml": "XML", ".png": "image", ".jpg": "image"}[path.suffix]


def _bytes(path: Path, generator: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(generator.randint(1, 8)):
        # headers are at the start
        end = min(len(content), generator.choice((128, 1024, len(content))))
        content[generator.randrange(end)] = generator.choice((0, 32, 34, 45, 127, 255, generator.randrange(256)))
    path.write_bytes(content)


def _cut(path: Path, generator: random.Random) -> None:
    content = path.read_bytes()
    place = generator.choice((0, 1, generator.randrange(min(len(content), 200)), generator.randrange(len(content))))
    path.write_bytes(content[:place] + (b"" if generator.random() < 0.7 else content[place + 4 :]))


def _file(path: Path, generator: random.Random) -> None:
    change = generator.choice(("remove", "folder", "link to itself", "link to nothing", "pipe", "copy", "unreadable"))
    content = path.read_bytes()
    path.unlink()
    if change == "folder":
        path.mkdir()
    elif change == "link to itself":
        path.symlink_to(path.name)
    elif change == "link to nothing":
        path.symlink_to("nothing")
    elif change == "pipe":
        os.mkfifo(path)
    elif change == "copy":
        others = sorted(one for one in path.parent.rglob("*") if one.is_file())
        shutil.copy(generator.choice(others), path)
    elif change == "unreadable":
        # the user of a container may be root, who can read everything
        path.write_bytes(content)
        path.chmod(0)


def _array(path: Path, generator: random.Random) -> None:
    array = np.load(path)
    change = generator.choice(("value", "type", "cast", "shape", "rows", "order", "archive", "objects", "header"))
    if change == "value":
        place = tuple(generator.randrange(extent) for extent in array.shape)
        array[place] = generator.choice((np.nan, np.inf, -np.inf, -1e-3, 1.001, 255, 2, 0.5))
    elif change == "type":
        array = array.view(generator.choice(("<u4", "<i4", "<f2", "|u1", ">f4")))
    elif change == "cast":
        array = array.astype(generator.choice(DTYPES))
    elif change == "shape":
        array = array.reshape(
            generator.choice(((len(array), -1), (-1,), (1, *array.shape), (*array.shape, 1), array.shape[::-1]))
        )
    elif change == "rows":
        array = array[: generator.choice((0, 1, len(array) - 1))]
    elif change == "order":
        array = np.asfortranarray(array)
    elif change == "objects":
        array = np.array([{"a": 1}] * len(array), dtype=object)
    if change == "archive":
        with path.open("wb") as file:
            np.savez(file, array)
        return
    np.save(path, array)
    if change == "header":
        odd = generator.choice((b"(999999999999,", b"(-12,", b"(True,", b"('a',", b"(10**9,", b"(1.5,"))
        content = path.read_bytes()
        start = content.index(b"(")
        path.write_bytes(content[:start] + odd + content[content.index(b",", start) + 1 :])


def _json(path: Path, generator: random.Random) -> None:
    content = json.loads(path.read_text())
    if generator.random() < 0.1:
        path.write_bytes(generator.choice((DEEP.encode(), b"", b"null", b"[]", b"{}", b'"x"', b"NaN", b"\xff\xfe{}")))
        return
    for _ in range(generator.randint(1, 3)):
        content = _changed(content, generator)
    text = json.dumps(content)
    path.write_bytes(text.encode(generator.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"))))


def _changed(content: Any, generator: random.Random) -> Any:
    """The content with one value, key or item replaced, removed or repeated, at any depth."""
    if isinstance(content, (dict, list)) and content and generator.random() < 0.85:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key, change = generator.choice(keys), generator.random()
        if change < 0.75:
            content[key] = _changed(content[key], generator)
        elif change < 0.9:
            del content[key]
        elif isinstance(content, list):
            content.insert(key, content[generator.choice(keys)])
        else:
            content[generator.choice(("label", "Label", "x", "boundingBoxes", ""))] = content.pop(key)
        return content
    return copy.deepcopy(generator.choice(ODD_VALUES))


def _xml(path: Path, generator: random.Random) -> None:
    if generator.random() < 0.05:
        path.write_text(generator.choice((BOMB, "<annotation/>", "", "<a>" * 50_000)))
        return
    root = ElementTree.parse(path).getroot()
    for _ in range(generator.randint(1, 3)):
        parent = generator.choice([one for one in root.iter() if len(one)] or [root])
        child = generator.choice(list(parent) or [root])
        change = generator.choice(("text", "text", "text", "tag", "remove", "repeat", "namespace", "capitals"))
        if change == "text":
            generator.choice(list(root.iter())).text = generator.choice(ODD_TEXTS)
        elif change == "tag":
            child.tag = generator.choice(("object", "bndbox", "name", "polygon", "xmin", "other"))
        elif change == "remove" and len(parent):
            parent.remove(child)
        elif change == "repeat":
            parent.append(ElementTree.fromstring(ElementTree.tostring(child)))
        elif change == "namespace":
            child.tag = "{http://example.org}" + child.tag.split("}")[-1]
        elif change == "capitals":
            child.tag = child.tag.upper()
    encoding = generator.choice(("utf-8", "utf-8", "utf-16", "latin-1"))
    path.write_bytes(ElementTree.tostring(root, encoding=encoding))


def _image(path: Path, generator: random.Random) -> None:
    change = generator.choice(("mode", "mode", "size", "orientation", "header", "text", "name"))
    with Image.open(path) as opened:
        image = opened.copy()
    content = io.BytesIO()
    if change == "mode":
        mode = generator.choice(ODD_MODES)
        odd = image.convert("I").convert(mode) if mode == "I;16" else image.convert("L").convert(mode)
        odd.save(content, "TIFF")
    elif change == "size":
        Image.new("RGB", generator.choice(ODD_SIZES), (40, 50, 60)).save(content, "PNG")
    elif change == "orientation":
        exif = Image.Exif()
        exif[0x0112] = generator.choice((0, 2, 3, 6, 8, 9, 65535))
        image.save(content, "JPEG", exif=exif)
    elif change == "header":
        image.save(content, "PNG")
        place = generator.choice((16, 20, 24, 25))
        content.getbuffer()[place : place + 2] = generator.choice((b"\xff\xff", b"\x7f\xff", b"\0\0"))
    elif change == "text":
        content.write(b"<html>not found</html>")
    else:
        path.rename(path.with_suffix(generator.choice((".JPG", ".heic", ".txt", ".jpg.png", ".gif"))))
        return
    path.write_bytes(content.getvalue())


FORMS: dict[str, Change] = {"array": _array, "JSON": _json, "XML": _xml, "image": _image}
