import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from block.data.boxes import move_boxes, read_boxes, write_boxes
from block.data.photo_boxes import choose_boxes
from block.data.photo_folder import PhotoFolder
from block.errors import BlockError
from esp32_deploy.pixels import RESIZE_MODES, resize


def box_file(folder, *rows):
    path = folder / "Y_split_train.npy"
    path.write_text(json.dumps([{"sampleId": 7, "boundingBoxes": boxes} for boxes in rows]))
    return path


def box(label=1, x=1, y=2, w=3, h=4):
    return {"label": label, "x": x, "y": y, "w": w, "h": h}


def test_labels_count_from_one_in_the_file_and_from_zero_in_memory(tmp_path):
    rows, dropped = read_boxes(box_file(tmp_path, [box(2)], []), 96)
    assert (rows[0].tolist(), rows[1].shape, dropped) == ([[1, 1, 2, 3, 4]], (0, 5), 0)


def test_boxes_without_area_inside_the_image_are_dropped_and_the_others_cut(tmp_path):
    boxes = [box(w=0), box(h=0), box(x=96), box(x=-3), box(x=-2, w=10), box(y=90, h=20)]
    rows, dropped = read_boxes(box_file(tmp_path, boxes), 96)
    assert rows[0].tolist() == [[0, 0, 2, 8, 4], [0, 1, 90, 3, 6]]
    assert dropped == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "cannot be read as JSON"),
        ("3", "should hold a JSON list"),
        ("[3]", "row 0 has no list"),
        ('[{"boundingBoxes": []}, {"boundingBoxes": [{"label": 1}]}]', "row 1 holds .* which lacks"),
        ('[{"boundingBoxes": [{"label": 0, "x": 1, "y": 1, "w": 1, "h": 1}]}]', "row 0 has label 0"),
        ('[{"boundingBoxes": [{"label": 1, "x": NaN, "y": 1, "w": 1, "h": 1}]}]', "row 0 holds .* which lacks"),
    ],
)
def test_what_is_no_box_is_refused_by_row(tmp_path, content, words):
    (tmp_path / "Y.npy").write_text(content)
    with pytest.raises(BlockError, match=words):
        read_boxes(tmp_path / "Y.npy", 96)


def test_boxes_are_written_as_they_are_read(tmp_path):
    rows = [np.array([[1, 2, 3, 4, 5]]), np.zeros((0, 5), int)]
    write_boxes(tmp_path / "Y.npy", rows)
    again, _ = read_boxes(tmp_path / "Y.npy", 96)
    assert [row.tolist() for row in again] == [row.tolist() for row in rows]


def test_studios_own_files_are_read(shared_data):
    for name in ("Y_split_train.npy", "Y_split_test.npy"):
        rows, dropped = read_boxes(shared_data / "studio" / "detection-labels" / name, 320)
        assert len(rows) > 0 and sum(map(len, rows)) > 0 and dropped == 0
        assert {label for boxes in rows for label in boxes[:, 0]} <= {0, 1}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(RESIZE_MODES),
    st.integers(20, 90),
    st.integers(20, 90),
    st.sampled_from([16, 24]),
    st.lists(st.integers(0, 89), min_size=4, max_size=4),
)
def test_a_box_moves_with_the_pixels_it_surrounds(mode, width, height, size, edges):
    left, right = sorted(edge % (width + 1) for edge in edges[:2])
    top, bottom = sorted(edge % (height + 1) for edge in edges[2:])
    assume(right > left and bottom > top)
    photo = np.zeros((height, width, 1), np.uint8)
    photo[top:bottom, left:right] = 255
    filled = resize(photo, size, mode)[:, :, 0]
    moved = move_boxes(np.array([[0, left, top, right - left, bottom - top]], float), width, height, size, mode)
    # what covers at least half of a pixel's width and height fills a quarter of it
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
    return PhotoFolder(folder, {name: folder / name for name in names})


def test_pascal_voc_gives_edges_and_background(tmp_path):
    voc(tmp_path, "a", ("cat", 10, 20, 40, 60.5))
    voc(tmp_path, "b")
    source, boxes = choose_boxes(photo_folder(tmp_path, "a.jpg", "b.jpg"), None)
    assert source == "voc"
    assert boxes["a.jpg"][0][0] == "cat" and boxes["a.jpg"][0][1].tolist() == [10, 20, 30, 40.5]
    assert boxes["b.jpg"] == []


def test_a_photo_without_its_voc_file_is_named(tmp_path):
    voc(tmp_path, "a", ("cat", 10, 20, 40, 60))
    with pytest.raises(BlockError, match=r"1 of 2 photos .* such as b\.jpg"):
        choose_boxes(photo_folder(tmp_path, "a.jpg", "b.jpg"), None)


def test_edge_impulses_export_gives_boxes_and_background(tmp_path):
    content = {"version": 1, "type": "bounding-box-labels"}
    content["boundingBoxes"] = {"a.jpg": [{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4}]}
    (tmp_path / "bounding_boxes.labels").write_text(json.dumps(content))
    source, boxes = choose_boxes(photo_folder(tmp_path, "a.jpg", "b.jpg"), None)
    assert source == "export"
    assert boxes["a.jpg"][0][1].tolist() == [1, 2, 3, 4] and boxes["b.jpg"] == []


def test_a_box_without_numbers_is_named(tmp_path):
    voc(tmp_path, "a", ("cat", 10, "wide", 40, 60))
    with pytest.raises(BlockError, match=r"a\.xml has a box 'cat' of xmin 10, ymin wide"):
        choose_boxes(photo_folder(tmp_path, "a.jpg"), None)


def test_names_and_folders_draw_no_boxes(tmp_path):
    with pytest.raises(BlockError, match="--labels-from name gives no boxes"):
        choose_boxes(photo_folder(tmp_path, "a.jpg"), "name")
    with pytest.raises(BlockError, match="Nothing draws boxes"):
        choose_boxes(photo_folder(tmp_path, "a.jpg"), None)
