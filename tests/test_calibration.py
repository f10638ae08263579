import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from block.facts import Calibration, OperatingPoint
from block.measure import calibration
from block.model import classification, detection, operating
from block.model.network import NetworkShape

CLASSES, SIZE = 3, 48


def answers(count, factor, seed=0):
    # labels drawn from the very probabilities of the logits; a factor makes the network too bold or too modest
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (count, CLASSES))
    labels = np.array([generator.choice(CLASSES, p=row) for row in calibration.softmax(logits)])
    return logits * factor, labels


def test_the_error_of_a_hand_made_example():
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    labels = np.array([0, 1, 0, 1])
    # two answers of 0.95 with one right: 0.45 too bold; two of 0.65, both right: 0.35 too modest
    assert calibration.expected_calibration_error(probabilities, labels) == pytest.approx(0.4)


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_the_temperature_undoes_a_wrong_confidence(factor):
    found = calibration.calibrate(*answers(2000, factor), seed=1)
    assert found.temperature == pytest.approx(factor, rel=0.15)
    assert found.error_after < 0.03 < 0.1 < found.error_before
    assert found.images == 2000


def test_honest_logits_keep_a_temperature_of_one():
    found = calibration.calibrate(*answers(400, 1.0), seed=1)
    assert found.temperature == 1
    assert found.error_after == found.error_before


@pytest.mark.parametrize("count", [20, 72, 400])
def test_no_mistake_on_few_images_is_no_reason_for_the_highest_confidence(count):
    labels = np.arange(count) % CLASSES
    logits = 4.0 * np.eye(CLASSES)[labels]
    found = calibration.calibrate(logits, labels, seed=1)
    # as if each class had been seen once more: the right class has at most this probability, or what it had before
    before, after = (calibration.softmax(logits / value)[0, labels[0]] for value in (1, found.temperature))
    assert after <= max(before, (count + 1) / (count + CLASSES) + 0.02)


@given(st.integers(1, 12), st.integers(0, 100))
def test_a_few_images_give_a_temperature_too(count, seed):
    found = calibration.calibrate(*answers(count, 3.0, seed), seed)
    assert found.temperature in calibration.TEMPERATURES
    assert 0 <= found.error_after <= found.error_before <= 1
    assert (found.error_after == found.error_before) == (found.temperature == 1)


def test_a_classifiers_temperature_divides_its_logits():
    network = classification.build_network(NetworkShape(0.35, "block_5", 3, CLASSES, SIZE)).eval()
    images = torch.rand(2, 3, SIZE, SIZE)
    tempered = operating.folded(network, OperatingPoint(0.6, calibration=Calibration(2.5, 0.2, 0.1, 9)))
    with torch.inference_mode():
        torch.testing.assert_close(tempered(images), network(images) / 2.5)


@pytest.mark.parametrize("threshold", [0.03, 0.3, 0.5, 0.8])
def test_what_stood_at_a_threshold_stands_at_one_half(threshold):
    # in double precision, so that no two cells have the same probability by rounding
    network = detection.build_network(NetworkShape(0.35, "block_6_expand", 3, 1, SIZE)).double().eval()
    shifted = operating.folded(network, OperatingPoint(0.5, (float(np.log((1 - threshold) / threshold)),)))
    images = torch.rand(4, 3, SIZE, SIZE, dtype=torch.float64)
    with torch.inference_mode():
        before, after = (one(images).softmax(1)[:, 1].flatten() for one in (network, shifted))
    odds = before * (1 - threshold) / threshold
    torch.testing.assert_close(after, odds / (odds + 1 - before))
    assert ((after >= 0.5) == (before >= threshold)).all()
    assert torch.equal(before.argsort(), after.argsort())
