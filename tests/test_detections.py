import numpy as np
import pytest

from block.measure import detections
from block.measure.decode import Detection

CLASSES = ("cat", "dog")
CAT, DOG = 0, 1


def at(label, x, y, score=0.9):
    return Detection(label, score, x - 4, y - 4, 8, 8, x, y)


def boxes(*rows):
    return np.array(rows, dtype=int).reshape(-1, 5)


def grid_with(*cells, side=4):
    grid = np.zeros((side, side, 3))
    grid[:, :, 0] = 1
    for row, column, label, probability in cells:
        grid[row, column, 0] -= probability
        grid[row, column, label + 1] = probability
    return grid


def scores(grid, truths, threshold=0.5, how="peaks"):
    return detections.evaluate(np.stack([grid]), [truths], CLASSES, 32, threshold, how)


def test_a_detection_matches_a_box_that_contains_its_centre():
    found = detections.match([at(CAT, 10, 10)], boxes((CAT, 8, 8, 10, 10)))
    assert found.truth_of.tolist() == [0] and found.detection_of.tolist() == [0]


def test_a_detection_of_another_class_does_not_match():
    assert detections.match([at(DOG, 10, 10)], boxes((CAT, 8, 8, 10, 10))).truth_of.tolist() == [-1]


def test_a_box_matches_only_the_nearest_detection():
    found = detections.match([at(CAT, 9, 9), at(CAT, 13, 13)], boxes((CAT, 8, 8, 10, 10)))
    assert found.truth_of.tolist() == [-1, 0]


def test_overlapping_boxes_match_their_own_detections():
    found = detections.match([at(CAT, 10, 10), at(CAT, 20, 10)], boxes((CAT, 0, 0, 30, 20), (CAT, 15, 5, 10, 10)))
    assert found.detection_of.tolist() == [0, 1]


def test_empty_detections_and_boxes_score_zero():
    assert detections.match([], boxes()).truth_of.tolist() == []
    assert scores(grid_with(), boxes()).f1 == 0


def test_scores_count_hits_misses_and_false_alarms():
    grid = grid_with((0, 0, CAT, 0.9), (3, 3, CAT, 0.9))
    result = scores(grid, boxes((CAT, 0, 0, 8, 8), (DOG, 16, 16, 8, 8)))
    assert (result.precision, result.recall, result.f1) == (0.5, 0.5, 0.5)
    assert result.per_class["cat"].found == 1 and result.per_class["dog"].found == 0
    assert result.confusion == [[0, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_a_wrong_class_is_a_miss_and_a_false_alarm():
    result = scores(grid_with((0, 0, DOG, 0.9)), boxes((CAT, 0, 0, 8, 8)))
    assert result.confusion == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert (result.precision, result.recall) == (0, 0)


def test_counting_errors_are_absolute_per_class_and_photo():
    full, empty = grid_with((0, 0, CAT, 0.9), (2, 2, CAT, 0.9)), grid_with()
    truths = [boxes((CAT, 0, 0, 8, 8)), boxes((DOG, 0, 0, 8, 8))]
    result = detections.evaluate(np.stack([full, empty]), truths, CLASSES, 32, 0.5, "peaks")
    assert (result.per_class["cat"].count_error, result.per_class["dog"].count_error) == (0.5, 0.5)


def test_the_best_threshold_is_the_middle_of_equal_ones():
    grid = grid_with((0, 0, CAT, 0.8), (3, 3, CAT, 0.4))
    curve = detections.curve(np.stack([grid]), [boxes((CAT, 0, 0, 8, 8))], 32, "peaks")
    assert 0.55 <= detections.best_threshold(curve) <= 0.65
    assert curve[0].precision == 0.5 and curve[-1].recall == 0


@pytest.mark.parametrize("how", ["peaks", "fuse"])
def test_the_curve_equals_the_scores_at_each_threshold(how):
    generator = np.random.default_rng(3)
    grids = generator.dirichlet((3, 1, 1), (4, 5, 5))
    truths = [boxes((CAT, 0, 0, 20, 20), (DOG, 16, 16, 20, 20))] * 4
    for point in detections.curve(grids, truths, 40, how, (0.25, 0.5, 0.75)):
        result = detections.evaluate(grids, truths, CLASSES, 40, point.threshold, how)
        assert (result.precision, result.recall, result.f1) == (point.precision, point.recall, point.f1)


def test_edge_impulse_f1_counts_a_wrong_class_once():
    result = scores(grid_with((0, 0, CAT, 0.9), (3, 3, DOG, 0.9)), boxes((CAT, 0, 0, 8, 8), (CAT, 24, 24, 8, 8)))
    assert result.f1 == 0.5
    assert result.ei_f1 == pytest.approx(2 / 3)


def test_edge_impulse_f1_lets_several_detections_match_one_object():
    grid = grid_with((0, 0, CAT, 0.9), (0, 2, CAT, 0.9), side=12)
    truth = boxes((CAT, 4, 0, 20, 10))
    result = detections.evaluate(np.stack([grid]), [truth], CLASSES, 96, 0.5, "fuse")
    assert result.ei_f1 == 1
    assert result.precision == 0.5
