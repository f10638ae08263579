"""The frame that boxes were drawn in: stored or upright, px or shares."""

import numpy as np
import pytest
from boxed_photos import (
    BLUE,
    RED,
    annotate,
    assert_boxes_surround_their_blocks,
    boxes_in,
    draw,
    export_box,
    prepared,
    write_export,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from block.data.boxes import upright_edges
from block.errors import BlockError

WIDE, SQUARE = (120, 80), (96, 96)
# in the stored photo: left, top, right, bottom
BOX = (6, 4, 30, 28)
SUFFIXES = ["jpg", "png", "webp", "tiff"]


@pytest.fixture
def photos(tmp_path):
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def upright(box, size, orientation):
    """The box that a tool draws which shows the photo upright, found in the turned pixels."""
    image = Image.new("L", size)
    image.paste(255, box)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    image.getexif()[0x0112] = orientation
    turned = ImageOps.exif_transpose(image)
    return turned.getbbox(), turned.size


@given(st.integers(1, 8), st.integers(2, 40), st.integers(2, 40), st.data())
def test_boxes_turn_as_their_pixels_do(orientation, width, height, data):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    ((x, y, box_width, box_height),) = upright_edges(
        np.array([[left, top, right - left, bottom - top]]), (width, height), orientation
    ).tolist()
    (found, _) = upright((left, top, right, bottom), (width, height), orientation)
    assert (x, y, x + box_width, y + box_height) == found


def phone_photos(photos, suffix, orientations, tool, sizes=(WIDE, SQUARE), noted=True):
    """Photos with each of the orientations and sizes. The tool shows them as stored, or upright."""
    number = 0
    for orientation in orientations:
        for size in sizes:
            path = draw(photos / f"{number:02}.{suffix}", BOX, (RED, BLUE)[number % 2], size, orientation)
            box, shown = (BOX, size) if tool == "stored" else upright(BOX, size, orientation)
            annotate(path.with_suffix(".xml"), ("block", box), size=shown if noted else None)
            number += 1


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("tool", ["stored", "upright"])
def test_photos_that_tell_decide_for_those_that_cannot(photos, out, suffix, tool):
    phone_photos(photos, suffix, range(1, 9), tool)
    assert prepared(photos, out).warnings == ()
    assert_boxes_surround_their_blocks(out, most_px=2)


@pytest.mark.parametrize("tool", ["stored", "upright"])
def test_one_photo_that_tells_decides_for_photos_without_a_size(photos, out, tool):
    phone_photos(photos, "png", (3, 6, 8), tool, noted=False)
    path = draw(photos / "tells.png", BOX, RED, WIDE, 6)
    box, shown = (BOX, WIDE) if tool == "stored" else upright(BOX, WIDE, 6)
    annotate(path.with_suffix(".xml"), ("block", box), size=shown)
    assert prepared(photos, out).warnings == ()
    assert_boxes_surround_their_blocks(out)


def test_a_photo_without_objects_tells_too(photos, out):
    phone_photos(photos, "png", (2, 3, 4), "stored")
    annotate(draw(photos / "empty.png", (0, 0, 1, 1), size=WIDE, orientation=8).with_suffix(".xml"), size=WIDE)
    prepared(photos, out)
    assert boxes_in(out).pop("empty.png") == []
    # two-fold mirrored: 120 x 80 px become 96 x 96 px
    assert boxes_in(out)["02.png"] == [("block", 72, 62, 19, 29)]


@pytest.mark.parametrize(("edge", "tool"), [((90, 10, 118, 40), "stored"), ((10, 90, 40, 118), "upright")])
def test_boxes_that_fit_only_one_frame_tell_which(photos, out, edge, tool):
    # 120 x 80 px as stored, 80 x 120 px upright; no size is noted
    draw(photos / "edge.png", (0, 0, 1, 1), size=WIDE, orientation=6)
    annotate(photos / "edge.xml", ("block", edge))
    phone_photos(photos, "png", (3, 6), tool, noted=False)
    assert prepared(photos, out).warnings == ()
    boxes = boxes_in(out)
    phone_photos(photos, "png", (3, 6), tool, noted=True)
    prepared(photos, out)
    assert boxes == boxes_in(out)


@pytest.mark.parametrize("noted", [True, False])
def test_warning_names_the_photos_that_nothing_decides(photos, out, noted):
    sizes = [SQUARE] if noted else [SQUARE, WIDE]
    phone_photos(photos, "jpg", (1, 3, 6), "upright", sizes, noted)
    (warning,) = prepared(photos, out).warnings
    turned = ["01.jpg", "02.jpg"] if noted else ["02.jpg", "03.jpg", "04.jpg", "05.jpg"]
    assert warning.startswith(f"{len(turned)} photos are turned") and warning.endswith(f"{', '.join(turned)}.")
    assert_boxes_surround_their_blocks(out)


def test_warning_says_that_the_others_disagree(photos, out):
    for number, tool in enumerate(("stored", "upright")):
        phone_photos(photos / str(number), "png", (6,), tool)
    (warning,) = prepared(photos, out).warnings
    assert "2 photos are turned" in warning and "tell both" in warning and "0/01.png, 1/01.png" in warning


def test_exported_boxes_of_turned_photos_are_named(photos, out):
    for number in range(4):
        draw(photos / f"{number}.png", BOX, size=SQUARE, orientation=6)
    entries = [{"path": f"{n}.png", "boundingBoxes": [export_box("block", BOX)]} for n in range(4)]
    write_export(photos / "info.labels", entries)
    (warning,) = prepared(photos, out).warnings
    assert "nothing tells" in warning and "0.png, 1.png, 2.png, 3.png" in warning


def test_few_boxes_of_another_photo_are_left_out_by_name(photos, out):
    for number in range(12):
        draw(photos / f"{number}.png", BOX)
        annotate(photos / f"{number}.xml", ("block", BOX), size=SQUARE)
    annotate(photos / "5.xml", ("block", BOX), size=(96, 60))
    skipped = prepared(photos, out).preparation.skipped
    assert list(skipped) == ["5.png"]
    assert "5.xml were drawn on a photo of 96 x 60 px, but 5.png has 96 x 96 px" in skipped["5.png"]
    assert_boxes_surround_their_blocks(out)


def test_few_photos_whose_boxes_all_lie_outside_are_left_out_by_name(photos, out):
    for number in range(12):
        draw(photos / f"{number}.png", BOX)
        annotate(photos / f"{number}.xml", ("block", BOX))
    annotate(photos / "5.xml", ("block", (200, 100, 300, 160)))
    skipped = prepared(photos, out).preparation.skipped
    assert skipped["5.png"].startswith("The boxes in 5.xml lie outside 5.png, which has 96 x 96 px")


# --- shares ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noted", [True, False])
def test_boxes_in_shares_are_read_where_edges_are_named(photos, out, noted):
    for number, (size, orientation) in enumerate([(WIDE, 1), (SQUARE, 1), ((40, 200), 1), (WIDE, 6), (WIDE, 3)]):
        path = draw(photos / f"{number}.png", BOX, size=size, orientation=orientation)
        box, shown = upright(BOX, size, orientation)
        shares = np.divide(box, np.tile(shown, 2)).tolist()
        annotate(path.with_suffix(".xml"), ("block", shares), size=shown if noted else None)
    warnings = prepared(photos, out).warnings
    assert warnings[0] == "All boxes lie between 0 and 1. They are read as shares of the photo's width and height."
    assert len(warnings) == (1 if noted else 2)
    assert_boxes_surround_their_blocks(out)


def test_boxes_in_shares_of_the_stored_photo_are_turned(photos, out):
    for number, orientation in enumerate(range(1, 9)):
        draw(photos / f"{number}.png", BOX, size=WIDE, orientation=orientation)
        annotate(photos / f"{number}.xml", ("block", np.divide(BOX, np.tile(WIDE, 2)).tolist()), size=WIDE)
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


def test_exported_boxes_in_shares_are_refused(photos, out):
    for number in range(4):
        draw(photos / f"{number}.png", BOX)
    box = export_box("block", (0.1, 0.2, 0.3, 0.5))
    write_export(photos / "info.labels", [{"path": f"{n}.png", "boundingBoxes": [box]} for n in range(4)])
    with pytest.raises(BlockError, match=r"info\.labels lie between 0 and 1.*format gives px"):
        prepared(photos, out)


def test_photo_in_shares_among_others_in_px_is_left_out_by_name(photos, out):
    for number in range(12):
        draw(photos / f"{number}.png", BOX)
        annotate(photos / f"{number}.xml", ("block", BOX))
    annotate(photos / "5.xml", ("block", (0.1, 0.2, 0.3, 0.5)))
    assert prepared(photos, out).preparation.skipped == {
        "5.png": "The boxes in 5.xml all lie between 0 and 1, but those of other photos are in px. Write these in px "
        "too, or remove them."
    }


def test_boxes_under_a_pixel_are_dropped_with_a_count(photos, out):
    for number in range(6):
        draw(photos / f"{number}.png", (20, 20, 60, 60), size=(960, 480))
        tiny = [("block", (500, 200, 509, 260)), ("block", (500, 200, 560, 204)), ("block", (500, 200, 500.5, 200.5))]
        annotate(photos / f"{number}.xml", ("block", (20, 20, 60, 60)), *tiny[: number % 4])
    dropped = prepared(photos, out).preparation.dropped_boxes
    assert dropped == {"1.png": 1, "2.png": 2, "3.png": 3, "5.png": 1}
    assert set(map(tuple, boxes_in(out).values())) == {(("block", 2, 4, 4, 8),)}


def test_a_box_of_half_a_pixel_is_not_enlarged_by_a_small_photo(photos, out):
    for number in range(4):
        draw(photos / f"{number}.png", (4, 4, 8, 8), size=(24, 24))
        annotate(photos / f"{number}.xml", ("block", (4, 4, 8, 8)), ("block", (10, 10, 10.5, 20)))
    assert prepared(photos, out).preparation.dropped_boxes == {f"{number}.png": 1 for number in range(4)}
    assert boxes_in(out)["0.png"] == [("block", 16, 16, 16, 16)]


def test_class_without_any_box_of_a_pixel_is_refused(photos, out):
    for number in range(6):
        draw(photos / f"{number}.png", BOX, size=(960, 960))
        annotate(photos / f"{number}.xml", ("block", (0, 0, 90, 90)), ("speck", (20, 20, 25, 25)))
    with pytest.raises(BlockError, match=r"All boxes of class speck .* are under a pixel"):
        prepared(photos, out)
