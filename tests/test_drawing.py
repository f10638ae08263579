import numpy as np
import pytest
from PIL import Image

from block.report import drawing
from block.report.drawing import Mark
from esp32_deploy.pixels import placement

GREY = (128, 128, 128)


def grey(width=240, height=120):
    return Image.new("RGB", (width, height), GREY)


def changed_pixels(before, after):
    """The positions of different pixels, (n, 2): row, column."""
    return np.argwhere((np.asarray(before) != np.asarray(after)).any(axis=2))


def test_caption_is_added_below_the_unchanged_photo():
    photo = grey()
    drawn = drawing.captioned(photo, "apple 93%")
    assert drawn.width == photo.width and drawn.height > photo.height
    assert drawn.crop((0, 0, *photo.size)).tobytes() == photo.tobytes()
    assert len(drawn.crop((0, photo.height, *drawn.size)).getcolors(10_000)) > 1


def test_long_caption_does_not_widen_the_photo():
    assert drawing.captioned(grey(60, 60), "a very long name of a class " * 9).width == 60


@pytest.mark.parametrize("kind", ["object", "truth", "missed"])
def test_box_is_drawn_at_its_position_on_a_copy(kind):
    photo = grey()
    places = changed_pixels(photo, drawing.with_marks(photo, [Mark(kind, (40, 30, 60, 50), (70, 55))]))
    assert len(places)
    assert places.min(axis=0) == pytest.approx((30, 40), abs=4)
    assert places.max(axis=0) == pytest.approx((79, 99), abs=4)
    assert photo.getcolors() == [(240 * 120, GREY)]


@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_scored_detection_is_a_small_mark_at_its_centre(kind):
    places = changed_pixels(grey(), drawing.with_marks(grey(), [Mark(kind, (40, 30, 60, 50), (70, 55))]))
    assert places.mean(axis=0) == pytest.approx((55, 70), abs=1)
    assert np.abs(places - (55, 70)).max() < 8


def test_kinds_of_marks_differ_in_shape():
    def shape(kind):
        return {
            tuple(place) for place in changed_pixels(grey(), drawing.with_marks(grey(), [Mark(kind, *PLACE)])).tolist()
        }

    PLACE = ((40, 30, 60, 50), (70, 55))  # noqa: N806
    shapes = [shape(kind) for kind in ("right", "wrong", "truth", "missed")]
    assert all(one != other for number, one in enumerate(shapes) for other in shapes[:number])


def test_marks_outside_the_photo_and_without_size_are_drawn():
    marks = [Mark("wrong", (-5, -5, 300, 300), (0, 0), "x" * 100), Mark("missed", (239, 119, 0, 0), (239, 119), "y")]
    assert drawing.with_marks(grey(), marks).size == (240, 120)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("squash", (50, 25, 100, 50)), ("crop", (75, 25, 50, 50)), ("fit", (50, 0, 100, 100))],
)
def test_boxes_are_converted_to_photo_pixels(mode, expected):
    # a box in the middle of the network's 96 x 96 px; the photo has 200 x 100 px
    assert drawing.on_original((24, 24, 48, 48), placement(200, 100, 96, mode)) == pytest.approx(expected)


def test_box_in_the_bars_beside_a_fitted_photo_is_clipped():
    assert drawing.on_original((0, 0, 8, 8), placement(200, 100, 96, "fit")) == pytest.approx((0, 0, 16.7, 0), abs=0.1)
