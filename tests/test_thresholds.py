import numpy as np
import pytest

from block.measure import detections, thresholds

SIZE, CELLS, CELL_PX = 64, 8, 8
CAT, DOG = 0, 1


def photos(count, odds, labels=(CAT,), noise=0.02, seed=0):
    """Grids (count, 8, 8, 1 + classes) with an object of `odds` against background on each, and their boxes."""
    generator = np.random.default_rng(seed)
    classes = max(labels) + 1
    grids, boxes = [], []
    for number in range(count):
        label = labels[number % len(labels)]
        logits = np.zeros((CELLS, CELLS, 1 + classes))
        logits[..., 1:] = np.log(noise) + generator.normal(0, 0.2, (CELLS, CELLS, classes))
        row, column = generator.integers(0, CELLS, 2)
        logits[row, column, 1 + label] = np.log(odds[label]) + generator.normal(0, 0.2)
        powers = np.exp(logits)
        grids.append(powers / powers.sum(axis=-1, keepdims=True))
        boxes.append(np.array([[label, column * CELL_PX, row * CELL_PX, CELL_PX, CELL_PX]]))
    return np.stack(grids), boxes


def f1_at_one_half(grids, boxes, shifts, how):
    (point,) = detections.curve(thresholds.shifted(grids, shifts), boxes, SIZE, how, (0.5,))
    return point.f1


@pytest.mark.parametrize("how", ["fuse", "peaks"])
@pytest.mark.parametrize("odds", [0.2, 0.5])
def test_objects_below_one_half_are_found_at_one_half_after_the_shift(odds, how):
    grids, boxes = photos(60, {CAT: odds})
    shifts = thresholds.choose_shifts(grids, boxes, SIZE, how)
    assert shifts[0] > 0
    assert f1_at_one_half(grids, boxes, (0.0,), how) < 0.5 < 0.95 < f1_at_one_half(grids, boxes, shifts, how)


def test_a_network_that_decides_at_one_half_stays_as_it_is():
    assert thresholds.choose_shifts(*photos(40, {CAT: 20.0}), SIZE, "fuse") == (pytest.approx(0, abs=1e-9),)


def test_each_class_with_enough_objects_gets_a_shift_of_its_own():
    grids, boxes = photos(120, {CAT: 0.15, DOG: 30.0}, labels=(CAT, DOG))
    cat, dog = thresholds.choose_shifts(grids, boxes, SIZE, "peaks")
    assert cat > dog
    assert f1_at_one_half(grids, boxes, (cat, dog), "peaks") > 0.95


def test_a_class_with_few_objects_takes_the_shift_of_all():
    grids, boxes = photos(40, {CAT: 0.15, DOG: 30.0}, labels=(CAT, CAT, CAT, DOG))
    cat, dog = thresholds.choose_shifts(grids, boxes, SIZE, "fuse")
    common, _ = thresholds.choose_shifts(grids[:4], boxes[:4], SIZE, "fuse")
    assert dog == thresholds.choose_shifts(grids, boxes, SIZE, "fuse")[1]
    assert abs(dog) <= abs(cat) or dog == common


def test_shifted_grids_are_probabilities_in_the_same_order():
    grids, _ = photos(5, {CAT: 1.0})
    shifted = thresholds.shifted(grids, (1.7,))
    np.testing.assert_allclose(shifted.sum(axis=-1), 1)
    assert np.array_equal(shifted[..., 1].ravel().argsort(), grids[..., 1].ravel().argsort())
