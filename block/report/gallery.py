"""The photos of a report, worst mistakes first, as small WebP images inside the page.

The size of the page limits their number.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby

import numpy as np
from PIL import Image

from block.data.reading import BlockData, Split
from block.report import drawing
from block.report.drawing import Mark

# Bytes for all photos, base64-encoded. The whole report may have 3 MB.
MOST_BYTES = 2_500_000
MOST_PHOTOS = 300
# At the same visible quality, WebP is a third smaller than JPEG.
WEBP_QUALITY, WEBP_EFFORT = 72, 2
# Smaller photos are enlarged to this width, so that boxes on them can be told apart.
DRAWN_PX = 256

Row = Mapping[str, str]
"""A row of predictions.csv."""


@dataclass(frozen=True)
class Entry:
    """The int8 model's prediction for one photo.

    `row` is the photo's index in its split. `true` and `predicted` are class names. `kinds` are the values of the
    page's result filter. The gallery is sorted by `badness`. `marks` are in px of the network's input.
    """

    split: str
    row: int
    name: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    kinds: tuple[str, ...]
    headline: str
    detail: str
    badness: float
    marks: tuple[Mark, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether the prediction has no mistake."""
        return "right" in self.kinds


@dataclass(frozen=True)
class Picture:
    """An entry and its photo, encoded for the page."""

    entry: Entry
    source: str  # a data: URL
    size: int  # px


def entries(rows: Sequence[Row], data: BlockData, splits: Iterable[str], threshold: float) -> list[Entry]:
    """The int8 model's predictions for every photo of `splits`, worst mistakes first."""
    of_split = {split: [row for row in rows if row["split"] == split] for split in splits}
    entries_of = _classified if data.task == "classification" else _detected
    found = [one for split, its in of_split.items() for one in entries_of(split, its, data.splits[split], threshold)]
    return sorted(found, key=lambda one: -one.badness)


def pictures(shown: Iterable[Entry], data: BlockData) -> Iterator[Picture]:
    """Reads and encodes photos one by one, until MOST_BYTES or MOST_PHOTOS is reached."""
    room = MOST_BYTES
    for number, one in enumerate(shown):
        picture = _picture(one, data.splits[one.split].features[one.row])
        room -= len(picture.source)
        if room < 0 or number >= MOST_PHOTOS:
            return
        yield picture


def _classified(split: str, rows: Sequence[Row], examples: Split, threshold: float) -> Iterator[Entry]:
    for index, (row, name) in enumerate(zip(rows, examples.sample_names, strict=False)):
        if row["name"] != name:
            continue  # the data is not that of the run
        true, predicted, confidence = row["label"], row["int8_label"], float(row["int8_confidence"])
        is_right, is_sure = predicted == true, confidence >= threshold
        kinds = ("right" if is_right else "wrong", *(() if is_sure else ("unsure",)))
        if is_right:
            headline, detail = f"{predicted} {confidence:.0%}", "correct" if is_sure else "correct, but not sure"
        else:
            headline, detail = f"{predicted} {confidence:.0%}", f"true class: {true}"
        badness = confidence if not is_right else -confidence
        yield Entry(split, index, name, (true,), (predicted,), kinds, headline, detail, badness)


def _detected(split: str, rows: Sequence[Row], examples: Split, _threshold: float) -> Iterator[Entry]:
    seen = [row for row in rows if row["kind"] in ("truth", "int8")]
    by_name = {name: list(group) for name, group in groupby(sorted(seen, key=_name), key=_name)}
    for index, name in enumerate(examples.sample_names):
        yield _objects(split, index, name, by_name.get(name, []))


def _name(row: Row) -> str:
    return row["name"]


def _objects(split: str, index: int, name: str, rows: Sequence[Row]) -> Entry:
    truths, found = ([row for row in rows if row["kind"] == kind] for kind in ("truth", "int8"))
    missed, extra = (sum(row["matched"] != "1" for row in kind) for kind in (truths, found))
    kinds = [kind for kind, count in (("missed", missed), ("extra", extra)) if count] or ["right"]
    mistakes = [f"{missed} missed"] if missed else []
    mistakes += [f"{extra} false positive{'s' if extra > 1 else ''}"] if extra else []
    marks = [_mark(row, "missed" if row["matched"] != "1" else "truth") for row in truths]
    marks += [_mark(row, "wrong" if row["matched"] != "1" else "right") for row in found]
    return Entry(
        split=split,
        row=index,
        name=name,
        true=tuple(sorted({row["label"] for row in truths})),
        predicted=tuple(sorted({row["label"] for row in found})),
        kinds=tuple(kinds + (["wrong"] if mistakes else [])),
        headline=f"{len(truths) - missed} of {len(truths)} found" if truths else "no objects",
        detail=", ".join(mistakes) or "correct",
        badness=(missed + extra) + (missed + extra) / (len(truths) + len(found) + 1),
        marks=tuple(marks),
    )


def _mark(row: Row, kind: drawing.MarkKind) -> Mark:
    x, y, width, height, center_x, center_y = (
        float(row[name] or 0) for name in ("x", "y", "width", "height", "center_x", "center_y")
    )
    text = row["label"] if kind in ("missed", "wrong") else ""
    return Mark(kind, (x, y, width, height), (center_x, center_y), text)


def _picture(entry: Entry, pixels: np.ndarray) -> Picture:
    """Draws the marks and encodes the photo. `pixels` are (H, W, C) float32 in 0..1."""
    content = np.rint(np.asarray(pixels) * 255).astype(np.uint8)
    photo = Image.fromarray(content[:, :, 0] if content.shape[2] == 1 else content).convert("RGB")
    if entry.marks:
        times = max(1.0, DRAWN_PX / photo.width)
        side = round(photo.width * times)
        photo = photo.resize((side, side), Image.Resampling.BILINEAR)
        photo = drawing.with_marks(photo, [mark.larger(times) for mark in entry.marks])
    file = BytesIO()
    photo.save(file, "WEBP", quality=WEBP_QUALITY, method=WEBP_EFFORT)
    return Picture(entry, f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}", photo.width)
