"""Draws predictions on photos: a caption with the label, boxes and centres of objects.

The kinds of marks differ in shape and in colour. Every stroke has a dark rim, so that it is visible on any photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, cast

from PIL import Image, ImageDraw, ImageFont

from esp32_deploy.pixels import Placement

MarkKind = Literal["object", "right", "wrong", "truth", "missed"]
# The palette of Okabe and Ito, which people with red-green colour blindness can tell apart.
WHITE, SKY, ORANGE, GREEN, YELLOW, PURPLE = "#ffffff", "#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7"
CLASS_COLOURS = (SKY, ORANGE, GREEN, YELLOW, PURPLE, WHITE)
MARK_COLOURS: dict[MarkKind, str] = {"right": SKY, "wrong": ORANGE, "truth": SKY, "missed": YELLOW}
BOXED, CENTERED = ("object", "truth", "missed"), ("object", "right", "wrong")
RIM = "#1b1b1b"

# shares of the photo's shorter side
TEXT_SHARE, STROKE_SHARE = 1 / 22, 1 / 128
LEAST_TEXT_PX, LEAST_STROKE_PX = 11, 1


@dataclass(frozen=True)
class Mark:
    """A mark on a photo. The box (x, y, width, height) and the centre (x, y) are in px of that photo.

    kind: what the mark shows.
        object: a prediction without a known truth (a box and a dot)
        right, wrong: a correct prediction (a dot) or a false positive (a cross)
        truth, missed: an object that was found (a box) or missed (a dashed box)
    label: the class index, which selects the colour of kind "object".
    """

    kind: MarkKind
    box: tuple[float, float, float, float]
    center: tuple[float, float]
    text: str = ""
    label: int = 0

    @property
    def colour(self) -> str:
        """The colour of the class for kind "object", else the colour of the kind."""
        return MARK_COLOURS.get(self.kind) or CLASS_COLOURS[self.label % len(CLASS_COLOURS)]

    def larger(self, times: float) -> "Mark":
        """The same mark on a photo that was enlarged by the factor `times`."""
        x, y, width, height = (times * value for value in self.box)
        return replace(self, box=(x, y, width, height), center=(times * self.center[0], times * self.center[1]))


def captioned(photo: Image.Image, text: str) -> Image.Image:
    """Returns a copy of an RGB photo with a line of text on a dark strip below it."""
    font = _font(photo)
    strip_px = round(font.size * 1.6)
    canvas = Image.new("RGB", (photo.width, photo.height + strip_px), RIM)
    canvas.paste(photo)
    position = (photo.width / 2, photo.height + strip_px / 2)
    ImageDraw.Draw(canvas).text(position, _fitting(text, font, photo.width), WHITE, font, anchor="mm")
    return canvas


def with_marks(photo: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """Returns a copy of an RGB photo with marks. Texts are drawn over all boxes and centres."""
    canvas = photo.copy()
    draw = ImageDraw.Draw(canvas)
    stroke = max(LEAST_STROKE_PX, round(min(photo.size) * STROKE_SHARE))
    for mark in marks:
        if mark.kind in BOXED:
            _draw_box(draw, mark, stroke)
    for mark in marks:
        if mark.kind in CENTERED:
            _draw_center(draw, mark, stroke)
    font = _font(photo)
    for mark in marks:
        if mark.text:
            _draw_text(draw, mark, font, canvas.size)
    return canvas


def on_original(box: Sequence[float], place: Placement) -> tuple[float, float, float, float]:
    """Converts a box (x, y, width, height) from px of the network's input to px of the photo.

    `place` says how the photo was placed in the input. Boxes are clipped to the placed part of the photo.
    """
    x, y, width, height = box
    across, down = place.source_width / place.target_width, place.source_height / place.target_height
    left, top = (x - place.target_x) * across, (y - place.target_y) * down
    right, bottom = left + width * across, top + height * down
    # With resize mode "fit", cells can reach into the bars beside the photo.
    left, right = (min(max(0.0, x), float(place.source_width)) for x in (left, right))
    top, bottom = (min(max(0.0, y), float(place.source_height)) for y in (top, bottom))
    return place.source_x + left, place.source_y + top, right - left, bottom - top


def _draw_box(draw: ImageDraw.ImageDraw, mark: Mark, stroke: int) -> None:
    x, y, width, height = mark.box
    corners = (x, y, max(x, x + width - 1), max(y, y + height - 1))
    rim = _rim(stroke)
    if mark.kind == "missed":
        for colour, thickness in ((RIM, stroke + 2 * rim), (mark.colour, stroke)):
            for start, end in _dashes(corners, 4 * stroke):
                draw.line([*start, *end], colour, thickness)
        return
    draw.rectangle(corners, outline=RIM, width=stroke + 2 * rim)
    inner = (corners[0] + rim, corners[1] + rim, corners[2] - rim, corners[3] - rim)
    if inner[0] < inner[2] and inner[1] < inner[3]:
        draw.rectangle(inner, outline=mark.colour, width=stroke)


def _rim(stroke: int) -> int:
    return max(1, stroke // 2)


def _dashes(
    corners: tuple[float, float, float, float], length: int
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    left, top, right, bottom = corners
    dashes: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for x in range(round(left), round(right), 2 * length):
        end = min(x + length, right)
        dashes += [((x, top), (end, top)), ((x, bottom), (end, bottom))]
    for y in range(round(top), round(bottom), 2 * length):
        end = min(y + length, bottom)
        dashes += [((left, y), (left, end)), ((right, y), (right, end))]
    return dashes


def _draw_center(draw: ImageDraw.ImageDraw, mark: Mark, stroke: int) -> None:
    x, y = mark.center
    radius, rim = 2 * stroke + 1, _rim(stroke)
    if mark.kind == "wrong":  # a cross
        for colour, thickness in ((RIM, stroke + 2 * rim), (mark.colour, stroke)):
            draw.line((x - radius, y - radius, x + radius, y + radius), colour, thickness)
            draw.line((x - radius, y + radius, x + radius, y - radius), colour, thickness)
        return
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), mark.colour, RIM, rim)


def _draw_text(draw: ImageDraw.ImageDraw, mark: Mark, font: ImageFont.FreeTypeFont, size: tuple[int, int]) -> None:
    text = _fitting(mark.text, font, size[0])
    left, top, right, bottom = font.getbbox(text)
    width, height = right - left + 8, bottom - top + 6
    x = min(max(0.0, mark.box[0]), size[0] - width)
    above = mark.center[1] - height * 1.5 if mark.kind == "wrong" else mark.box[1] - height
    y = above if above >= 0 else min(mark.box[1] + mark.box[3], size[1] - height)
    draw.rectangle((x, y, x + width, y + height), RIM)
    draw.text((x + 4 - left, y + 3 - top), text, mark.colour, font)


def _font(photo: Image.Image) -> ImageFont.FreeTypeFont:
    return _font_of(max(LEAST_TEXT_PX, round(min(photo.size) * TEXT_SHARE)))


@cache
def _font_of(size_px: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size_px))


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Returns the text. If it is wider than `width` px, its end is replaced by "…"."""
    if font.getlength(text) <= width - 4:
        return text
    while text and font.getlength(text + "…") > width - 4:
        text = text[:-1]
    return text + "…"
