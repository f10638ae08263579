import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from block.data.boxes import is_box_file, move_boxes, read_boxes, write_boxes
from block.errors import BlockError
from block.photos.boxes import choose_boxes
from block.photos.folder import PhotoFolder
from esp32_deploy.photos import read_photo
from esp32_deploy.pixels import RESIZE_MODES, resize


def box_file(folder, *rows):
    path = folder / "Y_split_train.npy"
    path.write_text(json.dumps([{"sampleId": 7, "boundingBoxes": boxes} for boxes in rows]))
    return path


def box(label=1, x=1, y=2, w=3, h=4):
    return {"label": label, "x": x, "y": y, "w": w, "h": h}


def test_labels_are_converted_to_indices_from_zero(tmp_path):
    rows, dropped = read_boxes(box_file(tmp_path, [box(2)], []), 96)
    assert (rows[0].tolist(), rows[1].shape, dropped) == ([[1, 1, 2, 3, 4]], (0, 5), 0)


def test_boxes_outside_the_image_are_dropped_and_others_are_cut(tmp_path):
    boxes = [box(w=0), box(h=0), box(x=96), box(x=-3), box(x=-2, w=10), box(y=90, h=20)]
    rows, dropped = read_boxes(box_file(tmp_path, boxes), 96)
    assert rows[0].tolist() == [[0, 0, 2, 8, 4], [0, 1, 90, 3, 6]]
    assert dropped == 4


def test_sides_under_a_pixel_are_dropped_and_not_enlarged(tmp_path):
    rows, dropped = read_boxes(box_file(tmp_path, [box(w=0.6), box(h=0.9), box(x=1.4, w=2.6, h=1)]), 96)
    assert rows[0].tolist() == [[0, 1, 2, 3, 1]] and dropped == 2


def test_boxes_of_studio_in_shares_are_refused(tmp_path):
    shares = [box(x=0.1, y=0.2, w=0.5, h=0.5), box(x=0, y=0, w=1, h=1)]
    with pytest.raises(BlockError, match=r"All boxes .* lie between 0 and 1.*Multiply x, y, w and h by 96"):
        read_boxes(box_file(tmp_path, shares, []), 96)
    rows, _ = read_boxes(box_file(tmp_path, [box(x=0, y=0, w=1, h=1)]), 96)
    assert rows[0].tolist() == [[0, 0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "cannot be read as JSON"),
        ("3", "should hold a JSON list"),
        ("[3]", "row 0 has no list"),
        ('[{"boundingBoxes": []}, {"boundingBoxes": [{"label": 1}]}]', "row 1 holds .* which is not a box"),
        ('[{"boundingBoxes": [{"label": 0, "x": 1, "y": 1, "w": 1, "h": 1}]}]', "row 0 has label 0"),
        ('[{"boundingBoxes": [{"label": 1, "x": NaN, "y": 1, "w": 1, "h": 1}]}]', "row 0 holds .* which is not a box"),
        ('[{"boundingBoxes": [{"label": 1, "x": 1e30, "y": 1, "w": 1, "h": 1}]}]', "row 0 holds .* which is not a box"),
        ('[{"boundingBoxes": [{"label": 1' + "0" * 40 + ', "x": 1, "y": 1, "w": 1, "h": 1}]}]', "which is not a box"),
    ],
)
def test_invalid_box_is_refused_with_its_row(tmp_path, content, words):
    (tmp_path / "Y.npy").write_text(content)
    with pytest.raises(BlockError, match=words):
        read_boxes(tmp_path / "Y.npy", 96)


def test_box_file_with_a_byte_order_mark_is_read(tmp_path):
    path = box_file(tmp_path, [box()])
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert is_box_file(path) and len(read_boxes(path, 96)[0]) == 1


def test_written_boxes_are_read_back(tmp_path):
    rows = [np.array([[1, 2, 3, 4, 5]]), np.zeros((0, 5), int)]
    write_boxes(tmp_path / "Y.npy", rows)
    again, _ = read_boxes(tmp_path / "Y.npy", 96)
    assert [row.tolist() for row in again] == [row.tolist() for row in rows]


def test_box_files_of_studio_are_read(shared_data):
    for name in ("Y_split_train.npy", "Y_split_test.npy"):
        rows, dropped = read_boxes(shared_data / "studio" / "detection-labels" / name, 320)
        assert len(rows) > 0 and sum(map(len, rows)) > 0 and dropped == 0
        assert {label for boxes in rows for label in boxes[:, 0]} <= {0, 1}


def seen_sides(mode, width, height, size, edges):
    """The exact width and height of a box in px of the resized image, without the parts that are cut off."""
    longer, side = max(width, height), min(width, height)
    frame = {"crop": (side, side)}.get(mode, (width, height))
    across, down = (width - frame[0]) // 2, (height - frame[1]) // 2
    image = [max(1, (each * size + longer // 2) // longer) for each in frame] if mode == "fit" else [size, size]
    left, right = (min(max(edge - across, 0), frame[0]) for edge in edges[::2])
    top, bottom = (min(max(edge - down, 0), frame[1]) for edge in edges[1::2])
    return Fraction((right - left) * image[0], frame[0]), Fraction((bottom - top) * image[1], frame[1])


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(RESIZE_MODES),
    st.integers(20, 90),
    st.integers(20, 90),
    st.sampled_from([16, 24]),
    st.lists(st.integers(0, 89), min_size=4, max_size=4),
)
def test_resized_box_surrounds_its_resized_pixels(mode, width, height, size, edges):
    left, right = sorted(edge % (width + 1) for edge in edges[:2])
    top, bottom = sorted(edge % (height + 1) for edge in edges[2:])
    assume(right > left and bottom > top)
    photo = np.zeros((height, width, 1), np.uint8)
    photo[top:bottom, left:right] = 255
    filled = resize(photo, size, mode)[:, :, 0]
    moved = move_boxes(np.array([[0, left, top, right - left, bottom - top]], float), width, height, size, mode)
    if mode == "crop":
        side = min(width, height)
        across, down = (width - side) // 2, (height - side) // 2
        share = photo[down : down + side, across : across + side].sum() / photo.sum()
        assume(abs(share - 0.3) > 0.02)
        if share < 0.3:
            assert len(moved) == 0
            return
    # an object under a pixel is left out, however much it colours its pixel
    if min(seen_sides(mode, width, height, size, (left, top, right, bottom))) < 1:
        assert len(moved) == 0
        return
    # a box that covers at least half of a pixel's width and half of its height covers a quarter of the pixel
    rows, columns = np.nonzero(filled > 255 * 0.75)
    if len(rows):
        ((_, x, y, box_width, box_height),) = moved
        assert x <= columns.min() and columns.max() < x + box_width
        assert y <= rows.min() and rows.max() < y + box_height
    for _, x, y, box_width, box_height in moved:
        assert 0 <= x < x + box_width <= size and 0 <= y < y + box_height <= size


def voc(folder, name, *objects):
    body = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>"
        for label, a, b, c, d in objects
    )
    (folder / f"{name}.xml").write_text(f"<annotation>{body}</annotation>")


def photo_folder(folder, *names):
    for name in names:
        if not (folder / name).exists():
            Image.new("RGB", (64, 64)).save(folder / name)
    return PhotoFolder(folder, {name: folder / name for name in names})


def test_pascal_voc_gives_boxes_and_background(tmp_path):
    voc(tmp_path, "a", ("cat", 10, 20, 40, 60.5))
    voc(tmp_path, "b")
    drawn = choose_boxes(photo_folder(tmp_path, "a.jpg", "b.jpg"), None)
    assert (drawn.source, drawn.warnings) == ("voc", ())
    assert drawn.boxes["a.jpg"][0][0] == "cat" and drawn.boxes["a.jpg"][0][1].tolist() == [10, 20, 30, 40.5]
    assert drawn.boxes["b.jpg"] == []


@pytest.mark.parametrize("corners", [(10, 20, 40, 60), (40, 20, 10, 60), (40, 60, 10, 20)])
def test_voc_box_can_start_at_any_corner(tmp_path, corners):
    voc(tmp_path, "a", ("cat", *corners))
    (box,) = choose_boxes(photo_folder(tmp_path, "a.jpg"), None).boxes["a.jpg"]
    assert box[1].tolist() == [10, 20, 30, 40]


@pytest.mark.parametrize("place", ["a.xml", "a.XML", "Annotations/a.xml", "annotations/a.xml", "../Annotations/a.XML"])
def test_voc_file_is_found_beside_the_photo_or_in_annotations(tmp_path, place):
    root = tmp_path / "JPEGImages" if place.startswith("..") else tmp_path
    root.mkdir(exist_ok=True)
    voc(tmp_path, "a", ("cat", 1, 2, 3, 4))
    target = root / place
    target.parent.mkdir(exist_ok=True)
    (tmp_path / "a.xml").rename(target)
    folder = PhotoFolder(tmp_path, {"a.jpg": root / "a.jpg"})
    assert choose_boxes(folder, None).boxes["a.jpg"][0][0] == "cat"


def test_voc_files_without_a_photo_are_named(tmp_path):
    voc(tmp_path, "other", ("cat", 1, 2, 3, 4))
    with pytest.raises(BlockError, match=r"has 1 \.xml files, such as other\.xml, .* in a folder Annotations"):
        choose_boxes(photo_folder(tmp_path, "a.jpg"), None)


def annotated_photo(folder, drawn_at, orientation=1):
    # stored size 60 x 40 px; the pixels in the box are white
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[8:20, 10:40] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(folder / "a.png", exif=exif)
    size = f"<size><width>{drawn_at[0]}</width><height>{drawn_at[1]}</height></size>"
    voc(folder, "a", ("cat", *(edge * drawn_at[0] / 60 for edge in (10, 8, 40, 20))))
    annotation = (folder / "a.xml").read_text()
    (folder / "a.xml").write_text(annotation.replace("<annotation>", f"<annotation>{size}"))
    return photo_folder(folder, "a.png")


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
@pytest.mark.parametrize("drawn_at", [(60, 40), (600, 400), (30, 20)])
def test_voc_boxes_are_converted_to_the_upright_photo(tmp_path, orientation, drawn_at):
    folder = annotated_photo(tmp_path, drawn_at, orientation)
    ((_, (x, y, width, height)),) = choose_boxes(folder, None).boxes["a.png"]
    rows, columns = np.nonzero(read_photo(tmp_path / "a.png")[:, :, 0])
    assert (x, y) == pytest.approx((columns.min(), rows.min()))
    assert (x + width, y + height) == pytest.approx((columns.max() + 1, rows.max() + 1))


@pytest.mark.parametrize("drawn_at", [(0, 0), (-1, 5), ("", "wide")])
def test_voc_boxes_without_a_photo_size_stay_the_same(tmp_path, drawn_at):
    folder = annotated_photo(tmp_path, (60, 40))
    text = (tmp_path / "a.xml").read_text()
    size = f"<size><width>{drawn_at[0]}</width><height>{drawn_at[1]}</height></size>"
    (tmp_path / "a.xml").write_text(text.replace("<size><width>60</width><height>40</height></size>", size))
    ((_, edges),) = choose_boxes(folder, None).boxes["a.png"]
    assert edges.tolist() == [10, 8, 30, 12]


def test_boxes_drawn_on_another_photo_are_refused(tmp_path):
    folder = annotated_photo(tmp_path, (40, 60))
    with pytest.raises(BlockError, match=r"a\.xml were drawn on a photo of 40 x 60 px, but a\.png has 60 x 40 px"):
        choose_boxes(folder, None)


def test_photo_without_a_voc_file_is_named(tmp_path):
    voc(tmp_path, "a", ("cat", 10, 20, 40, 60))
    with pytest.raises(BlockError, match=r"1 of 2 photos .* such as b\.jpg"):
        choose_boxes(photo_folder(tmp_path, "a.jpg", "b.jpg"), None)


def test_export_gives_boxes_and_background(tmp_path):
    content = {"version": 1, "type": "bounding-box-labels"}
    content["boundingBoxes"] = {"a.jpg": [{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4}]}
    (tmp_path / "bounding_boxes.labels").write_text(json.dumps(content))
    drawn = choose_boxes(photo_folder(tmp_path, "a.jpg", "b.jpg"), None)
    assert drawn.source == "export"
    assert drawn.boxes["a.jpg"][0][1].tolist() == [1, 2, 3, 4] and drawn.boxes["b.jpg"] == []
    (warning,) = drawn.warnings
    assert "1 of 2 photos" in warning and "used as background: b.jpg" in warning


def export(folder, *names):
    boxes = {name: [{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4}] for name in names}
    content = {"version": 1, "type": "bounding-box-labels", "boundingBoxes": boxes}
    (folder / "bounding_boxes.labels").write_text(json.dumps(content))


def test_export_names_can_differ_in_case(tmp_path):
    export(tmp_path, "A.JPG")
    drawn = choose_boxes(photo_folder(tmp_path, "a.jpg"), None)
    assert drawn.boxes["a.jpg"][0][0] == "cat" and drawn.warnings == ()


def test_missing_photos_of_an_export_are_named(tmp_path):
    export(tmp_path, "a.jpg", "gone.jpg")
    (warning,) = choose_boxes(photo_folder(tmp_path, "a.jpg"), None).warnings
    assert warning == "1 photos in the label files do not exist: gone.jpg."


def test_export_of_renamed_photos_is_refused(tmp_path):
    export(tmp_path, "a.jpg", "before.jpg")
    with pytest.raises(BlockError, match=r"1 of 2 photos .*\(after\.jpg\), and 1 photos .*\(before\.jpg\)"):
        choose_boxes(photo_folder(tmp_path, "a.jpg", "after.jpg"), None)


def test_box_without_numbers_is_refused(tmp_path):
    voc(tmp_path, "a", ("cat", 10, "wide", 40, 60))
    with pytest.raises(BlockError, match=r"a\.xml has a box 'cat' with xmin 10, ymin wide"):
        choose_boxes(photo_folder(tmp_path, "a.jpg"), None)


def test_file_names_give_no_boxes(tmp_path):
    with pytest.raises(BlockError, match="--labels-from name gives no boxes"):
        choose_boxes(photo_folder(tmp_path, "a.jpg"), "name")
    with pytest.raises(BlockError, match="No boxes were found"):
        choose_boxes(photo_folder(tmp_path, "a.jpg"), None)
