import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from block.errors import BlockError
from block.measure import evaluate

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.0, 0.0, 1.0]])
LABELS = np.array([0, 1, 1, 2])


def test_scores_of_a_small_example():
    scores = evaluate.evaluate(PROBABILITIES, LABELS, ["a", "b", "c"])
    assert scores.accuracy == 0.75
    assert scores.images == 4
    assert scores.confusion == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert scores.per_class["a"] == evaluate.ClassScore(0.5, 1.0, pytest.approx(2 / 3), 1)
    assert scores.per_class["b"] == evaluate.ClassScore(1.0, 0.5, pytest.approx(2 / 3), 2)


def test_an_absent_class_without_predictions_scores_zero():
    scores = evaluate.evaluate(np.array([[0.9, 0.1, 0.0]]), np.array([0]), ["a", "b", "c"])
    assert scores.per_class["c"] == evaluate.ClassScore(0.0, 0.0, 0.0, 0)


def test_loss_clips_probabilities_at_half_an_int8_step():
    loss = evaluate.cross_entropy(np.array([[1.0, 0.0]]), np.array([1]))
    assert loss == pytest.approx(-np.log((1 / 512) / (1 + 1 / 512)))


@given(arrays.arrays(np.float32, (5, 3), elements=st.floats(0, 1, width=32)))
def test_loss_is_finite_and_not_negative_for_any_output(probabilities):
    loss = evaluate.cross_entropy(probabilities, np.array([0, 1, 2, 0, 1]))
    assert 0 <= loss <= np.log(512 * 3)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_accuracy_equals_the_confusion_matrix_diagonal(labels, seed):
    probabilities = np.random.default_rng(seed).dirichlet([1, 1, 1], len(labels))
    scores = evaluate.evaluate(probabilities, np.array(labels), ["a", "b", "c"])
    assert scores.accuracy == pytest.approx(np.trace(scores.confusion) / len(labels))


def test_a_conversion_with_different_outputs_raises():
    evaluate.check_conversion(PROBABILITIES, PROBABILITIES + 1e-5, "a.onnx and a.tflite")
    with pytest.raises(BlockError, match=r"a.onnx and a.tflite differ by 0\.[0-9]+ in a probability"):
        evaluate.check_conversion(PROBABILITIES, PROBABILITIES[:, [1, 0, 2]], "a.onnx and a.tflite")


def test_agreement_is_the_share_of_equal_classes():
    assert evaluate.agreement(PROBABILITIES, PROBABILITIES[[0, 1, 3, 3]]) == 0.75


def test_features_are_predicted_in_batches():
    sizes = []

    def predict(images):
        sizes.append(len(images))
        return images[:, 0, 0, :]

    features = np.random.default_rng(0).random((150, 2, 2, 3), np.float32)
    assert np.array_equal(evaluate.predict_all(predict, features), features[:, 0, 0, :])
    assert sizes == [64, 64, 22]


def test_standard_error_falls_with_the_number_of_items():
    assert evaluate.standard_error(0.8, 100) == pytest.approx(0.04)
    assert evaluate.standard_error(1.0, 25) == pytest.approx(0.02)
    assert evaluate.standard_error(0.5, 0) == 0
