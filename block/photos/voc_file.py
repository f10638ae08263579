"""Reads one Pascal VOC file: its objects, the photo that it names, and the size at which the boxes were drawn.

Where the meaning is sure, other spellings are read: namespaces, capitals, attributes, deeper nesting, polygons.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from block.errors import BlockError
from block.photos.formats import normalized

EDGES = ("xmin", "ymin", "xmax", "ymax")
LEAST_CORNERS = 3
# A larger file describes more than one photo. Reading it could need gigabytes.
MOST_BYTES = 10_000_000
# An annotation without objects may hold only these.
METADATA = frozenset(("filename", "folder", "imagesize", "owner", "path", "segmented", "size", "source"))
# These describe the shape of an object. Outside an object they are not understood.
SHAPES = frozenset(
    ("bbox", "bndbox", "boundingbox", "box", "mask", "points", "polygon", "polyline", "robndbox", *EDGES)
)


@dataclass(frozen=True)
class VocObject:
    """An object: its class, and the texts of its box's edges (None where one is missing)."""

    label: str
    edges: Mapping[str, str | None]


@dataclass(frozen=True)
class VocFile:
    """The content of a Pascal VOC file."""

    objects: tuple[VocObject, ...]
    size: tuple[int, int] | None
    """Width and height of the photo in px, None if the file does not note them."""
    file_name: str
    """The name of the photo, without its folder; empty if the file names none."""
    folders: tuple[tuple[str, ...], ...]
    """The folder of the photo as the file gives it, as <folder> and in <path>: its parts from the top down."""


def read_voc(path: Path, name: str) -> VocFile:
    """Reads a Pascal VOC file. `name` is its name in messages.

    Raises BlockError if the file is damaged, has a DOCTYPE, names several photos, or has content that nobody can be
    sure of.
    """
    if not path.is_file():  # a pipe would never end
        raise BlockError(f"{name} cannot be read as Pascal VOC: it is not a file. Repair or remove it.")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES // 10**6} MB, so it is not the file of one photo")
        return _content(_parsed(path.read_bytes()))
    except OSError as error:
        raise BlockError(f"{name} cannot be read as Pascal VOC: {error.strerror}. Repair or remove it.") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise BlockError(f"{name} cannot be read as Pascal VOC: {error}. Repair or remove it.") from error


def _parsed(data: bytes) -> Element:
    """The root of an XML text. Tags have lower case and no namespace; attributes are elements, as VOC has them."""
    # A DOCTYPE can define entities that expand to gigabytes. UTF-16 has a zero byte beside each ASCII letter.
    if b"<!DOCTYPE" in data.replace(b"\0", b""):
        raise ValueError("it has a DOCTYPE, which a Pascal VOC file does not need")
    root = ElementTree.fromstring(data)
    for element in list(root.iter()):
        element.tag = _plain(element.tag)
        for key, value in element.attrib.items():
            ElementTree.SubElement(element, _plain(key)).text = value
    return root


def _plain(tag: str) -> str:
    return tag.rsplit("}", 1)[-1].casefold()


def _annotation(root: Element) -> Element:
    if root.tag == "annotation":
        return root
    inner = [each for each in root.iter("annotation") if any(part.tag in ("object", "size") for part in each.iter())]
    if len(inner) == 1:
        return inner[0]
    held = f"{len(inner)} annotations" if inner else "no <annotation>"
    raise ValueError(f"its root is <{root.tag}>, which holds {held}")


def _content(root: Element) -> VocFile:
    annotation = _annotation(root)
    names = {text for each in root.iter("filename") if (text := normalized(each.text))}
    if len(names) > 1:
        raise ValueError(f"it names several photos, such as {' and '.join(sorted(names)[:2])}")
    found = [each for each in root.iter("object") if not _is_container(each)]
    _refuse_other_content(root, annotation, found)
    path = _parts(_text(annotation, "path"))
    named = _parts(next(iter(names), "")) or path[-1:]
    folders = (_parts(_text(annotation, "folder")) + named[:-1], path[:-1])
    objects = tuple(_object(each) for each in found if _text(each, "deleted") not in ("1", "true", "yes"))
    return VocFile(objects, _size(annotation), named[-1] if named else "", tuple(filter(None, folders)))


def _is_container(element: Element) -> bool:
    """True for an <object> that only holds others. Raises ValueError if it is an object too."""
    if next(element.iterfind(".//object"), None) is None:
        return False
    if any(element.find(tag) is not None for tag in ("name", "bndbox")):
        raise ValueError("it has an object within an object")
    return True


def _refuse_other_content(root: Element, annotation: Element, objects: list[Element]) -> None:
    """Raises ValueError if there are shapes outside objects, or unknown content where there are no objects."""
    within = {id(part) for each in objects for part in each.iter()}
    for element in root.iter():
        if element.tag in SHAPES and id(element) not in within:
            raise ValueError(f"its <{element.tag}> is not in an <object>")
    if objects:
        return
    for element in (*root, *annotation):
        if element.tag not in METADATA and len(element) and annotation not in element.iter():
            raise ValueError(f"it has no <object>, but <{element.tag}>, which is not understood")
    if normalized(annotation.text):
        raise ValueError(f"it has no <object>, but the text {normalized(annotation.text)[:40]!r}")


def _size(annotation: Element) -> tuple[int, int] | None:
    sides = ("size/width", "size/height")
    if annotation.find("imagesize/ncols") is not None:  # the annotation tool LabelMe
        sides = ("imagesize/ncols", "imagesize/nrows")
    try:
        width, height = (int(float(annotation.findtext(side, ""))) for side in sides)
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _object(element: Element) -> VocObject:
    label = _text(element, "name")
    # a person's <part> has a name and a box of its own
    own = [part for part in _without_parts(element) if part is not element]
    boxes = [part for part in own if part.tag == "bndbox"]
    if len(boxes) > 1:
        raise ValueError(f"its object {label!r} has {len(boxes)} boxes")
    if not boxes and (polygons := [part for part in own if part.tag == "polygon"]):
        return VocObject(label, _around(label, polygons))
    holders = list(boxes[0].iter()) if boxes else own
    return VocObject(label, {edge: _only(label, edge, holders) for edge in EDGES})


def _without_parts(element: Element) -> Iterator[Element]:
    pending = [element]
    while pending:
        each = pending.pop()
        yield each
        pending.extend(child for child in each if child.tag != "part")


def _only(label: str, tag: str, elements: list[Element]) -> str | None:
    """The text of the only element with a tag, None if there is none. Raises ValueError if texts differ."""
    texts = {normalized(each.text) for each in elements if each.tag == tag}
    if len(texts) > 1:
        raise ValueError(f"its object {label!r} has several <{tag}>")
    return next(iter(texts), None)


def _around(label: str, polygons: list[Element]) -> dict[str, str | None]:
    """The edges of the box around polygons, whose points are <x1>, <y1>, <x2>, ... or <pt><x>, <y>."""
    points = [part for each in polygons for part in each.iter()]
    try:
        across, down = ([float(normalized(part.text)) for part in points if _axis(part.tag) == axis] for axis in "xy")
    except ValueError:
        across, down = [], []
    if len(across) < LEAST_CORNERS or len(across) != len(down):
        raise ValueError(f"the polygon of its object {label!r} is not understood")
    return dict(zip(EDGES, map(repr, (min(across), min(down), max(across), max(down))), strict=True))


def _axis(tag: str) -> str | None:
    return tag[0] if tag[:1] in ("x", "y") and (len(tag) == 1 or tag[1:].isdecimal()) else None


def _text(element: Element, tag: str) -> str:
    """The text of the child with a tag, empty if there is none. Raises ValueError if there are several texts."""
    texts = {normalized(child.text) for child in element if child.tag == tag}
    if len(texts) > 1:
        raise ValueError(f"it has <{tag}> {' and '.join(map(repr, sorted(texts)[:2]))} in one place")
    return next(iter(texts), "")


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))
