import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from block.measure.decode import decode, to_steps
from block.model.detection import shared_grid


def grid_of(*planes):
    objects = np.stack([np.array(plane, dtype=np.float64) for plane in planes], axis=-1) / 256
    return np.concatenate([1 - objects.sum(axis=-1, keepdims=True), objects], axis=-1)


def places(detections):
    return [(one.label, one.x, one.y, one.width, one.height) for one in detections]


@st.composite
def grids(draw):
    side, classes = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    values = draw(st.lists(st.sampled_from([0, 40, 127, 128, 200, 255]), min_size=1, max_size=side * side * classes))
    steps = np.resize(values, (side, side, classes)).astype(np.float64)
    return np.concatenate([np.zeros((side, side, 1)), steps / 256], axis=-1)


def test_fuse_merges_touching_cells_into_one_box():
    grid = grid_of([[200, 0, 0, 0], [0, 220, 0, 0], [0, 0, 0, 0], [0, 0, 0, 150]])
    first, second = decode(grid, 0.5, 8, "fuse")
    assert (first.x, first.y, first.width, first.height, first.score) == (0, 0, 16, 16, 220 / 256)
    assert (first.center_x, first.center_y) == (8, 8)
    assert (second.x, second.y, second.center_x, second.center_y) == (24, 24, 28, 28)


def test_fuse_merges_boxes_that_touch_after_growing():
    # the box of the L-shaped group reaches the single cell
    grid = grid_of([[200, 0, 0, 0], [200, 0, 190, 0], [200, 0, 0, 0], [200, 200, 0, 0]])
    assert places(decode(grid, 0.5, 8, "fuse")) == [(0, 0, 0, 24, 32)]


def test_peaks_separates_touching_objects_that_fuse_merges():
    grid = grid_of([[0, 0, 0, 0, 0], [150, 50, 130, 0, 0], [0, 0, 0, 0, 0]])
    assert [one.score * 256 for one in decode(grid, 0.3, 8, "peaks")] == [200, 130]
    assert len(decode(grid, 0.15, 8, "fuse")) == 1


def test_peaks_scores_an_object_by_the_sum_of_its_four_cells():
    (one,) = decode(grid_of([[50, 60, 0], [60, 70, 0], [0, 0, 0]]), 0.9, 8, "peaks")
    assert one.score == 240 / 256
    assert (one.x, one.y, one.width, one.height) == (0, 0, 16, 16)


def test_peaks_finds_one_object_per_whole_probability():
    found = decode(grid_of([[255, 255, 255]]), 0.5, 8, "peaks")
    assert [(one.center_x, one.center_y, one.score * 256) for one in found] == [(4, 4, 255), (12, 4, 255), (20, 4, 255)]


def test_a_full_grid_is_one_fused_object_or_a_peak_per_cell():
    grid = grid_of(np.full((3, 4), 255))
    assert places(decode(grid, 0.5, 8, "fuse")) == [(0, 0, 0, 32, 24)]
    centers = sorted((one.center_x, one.center_y) for one in decode(grid, 0.9, 8, "peaks"))
    assert centers == [(x, y) for x in (4, 12, 20, 28) for y in (4, 12, 20)]


def test_peaks_uses_the_rest_of_a_cell_for_the_next_object():
    grid = grid_of([[0, 0, 0, 0], [200, 120, 180, 0], [0, 0, 0, 0]])
    first, second = decode(grid, 0.5, 8, "peaks")
    # the first object takes 55 of the middle cell, the second object takes the remaining 65
    assert (first.score, first.center_x) == (255 / 256, (200 * 4 + 55 * 12) // 255)
    assert (second.score, second.center_x) == (245 / 256, (65 * 12 + 180 * 20) // 245)


def test_peaks_puts_the_centre_between_equal_cells():
    (one,) = decode(grid_of([[0, 0, 0], [127, 127, 0], [0, 0, 0]]), 0.5, 8, "peaks")
    assert (one.center_x, one.center_y) == (8, 12)
    assert (one.x, one.y, one.width, one.height) == (0, 8, 16, 8)


def test_classes_are_decoded_independently():
    grid = grid_of([[200, 0], [0, 0]], [[0, 50], [0, 0]])
    for how in ("peaks", "fuse"):
        assert [one.label for one in decode(grid, 0.1, 8, how)] == [0, 1]


def test_background_is_never_an_object():
    assert decode(grid_of([[0, 0], [0, 0]]), 0.0, 8, "peaks") == []
    assert decode(grid_of([[0, 0], [0, 0]]), 0.0, 8, "fuse") == []


def test_int8_outputs_convert_exactly_to_256ths():
    int8 = np.arange(-128, 128)
    assert (to_steps((int8 + 128) / np.float32(256)) == int8 + 128).all()


@settings(deadline=None)
@given(grids(), st.sampled_from([0.1, 0.5, 0.78125, 1.0]))
def test_fused_boxes_never_touch_and_cover_every_cell_above_the_threshold(grid, threshold):
    detections = decode(grid, threshold, 4, "fuse")
    for plane in range(1, grid.shape[2]):
        boxes = [one for one in detections if one.label == plane - 1]
        for row, column in zip(*np.nonzero(grid[:, :, plane] >= threshold), strict=True):
            covering = [
                one
                for one in boxes
                if one.x <= 4 * column < one.x + one.width and one.y <= 4 * row < one.y + one.height
            ]
            assert len(covering) == 1
        for first in boxes:
            for second in boxes:
                if first is not second:
                    apart_x = first.x + first.width < second.x or second.x + second.width < first.x
                    apart_y = first.y + first.height < second.y or second.y + second.height < first.y
                    assert apart_x or apart_y


@settings(deadline=None)
@given(grids(), st.sampled_from([0.1, 0.5, 0.78125]))
def test_peaks_never_exceed_the_grid_and_leave_no_object(grid, threshold):
    detections = decode(grid, threshold, 2, "peaks")
    assert [one.score for one in detections] == sorted((one.score for one in detections), reverse=True)
    assert all(threshold <= one.score < 1 for one in detections)
    for label in range(grid.shape[2] - 1):
        plane, scores = grid[:, :, label + 1], [one.score for one in detections if one.label == label]
        assert sum(scores) <= plane.sum()
        assert not scores or scores[0] >= plane.max()
        # each object takes at most probability 1
        assert plane.sum() - len(scores) <= threshold * plane.size
    for one in detections:
        assert 0 <= one.x < one.center_x + 1 and one.center_x <= one.x + one.width <= 2 * grid.shape[1]
        assert 0 <= one.y < one.center_y + 1 and one.center_y <= one.y + one.height <= 2 * grid.shape[0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 8), st.integers(0, 8)), max_size=9))
def test_peaks_recovers_centres_from_shared_targets(places):
    # at most one object in each square of 3x3 cells, with its centre in the middle cell
    centers = {(24 * column + 8 + x, 24 * row + 8 + y) for column, row, x, y in dict.fromkeys(places)}
    centers = {(x // 24, y // 24): (x, y) for x, y in sorted(centers)}
    boxes = np.array([(0, x - 4, y - 4, 8, 8) for x, y in centers.values()]).reshape(-1, 5)
    grid = np.moveaxis(shared_grid(boxes, 1, 12, 96), 0, -1)
    found = {(one.center_x // 24, one.center_y // 24): one for one in decode(grid, 0.9, 8, "peaks")}
    assert found.keys() == centers.keys()
    for place, (x, y) in centers.items():
        assert abs(found[place].center_x - x) <= 1 and abs(found[place].center_y - y) <= 1
