import numpy as np
import pytest
from test_simulate import uint8_ends, write
from tiny_models import TinyModel, attentive_grid

from esp32_deploy import meaning
from esp32_deploy.compile import graph
from esp32_deploy.manifest import Manifest
from esp32_deploy.meaning import MeaningError

FINE = (0.05, 0)
LABELS = ("a", "b", "c", "d")


def of(model, folder, labels=LABELS):
    return meaning.of(graph.read(write(folder, model)), Manifest(labels=labels))


def single(*, with_sigmoid):
    model = TinyModel((1, 8, 8, 3))
    logit = model.dense(model.mean(model.convolution(0, 4, (3, 3))), 1, output=(0.04, 20))
    if with_sigmoid:
        model.sigmoid(logit)
    return model


@pytest.mark.parametrize("with_sigmoid", [True, False])
@pytest.mark.parametrize("labels", [None, ("ripe",), LABELS])
def test_a_single_output_is_asked_for_its_two_names(with_sigmoid, labels, tmp_path):
    with pytest.raises(MeaningError) as refusal:
        of(single(with_sigmoid=with_sigmoid), tmp_path, labels)
    assert str(refusal.value).startswith("The model has a single output, which tells two classes apart.")
    assert 'first the class of outputs near 0, then the class of outputs near 1, such as "no,yes".' in str(
        refusal.value
    )


def test_a_probability_is_that_of_the_second_class(tmp_path):
    known = of(single(with_sigmoid=True), tmp_path, ("raw", "ripe"))
    outputs = np.array([-128, -127, -1, 0, 1, 127], np.int8).reshape(6, 1)
    assert known.scores(outputs).tolist() == [[255, 0], [255, 1], [129, 127], [128, 128], [127, 129], [1, 255]]
    assert known.class_values(outputs).argmax(axis=1).tolist() == [0, 0, 0, 0, 1, 1]


def test_a_logit_is_that_of_the_second_class(tmp_path):
    known = of(single(with_sigmoid=False), tmp_path, ("raw", "ripe"))
    outputs = np.arange(-128, 128).astype(np.int8).reshape(256, 1)
    expected = 256 / (1 + np.exp(-np.float32(0.04) * (outputs.astype(float) - 20)))
    scores = known.scores(outputs)
    np.testing.assert_allclose(scores[:, 1:], expected, atol=1.01)
    np.testing.assert_allclose(scores.sum(axis=1), 256, atol=1)
    assert known.class_values(outputs).argmax(axis=1).tolist() == [0] * 149 + [1] * 107


def test_a_softmax_over_a_single_output_is_refused(tmp_path):
    model = single(with_sigmoid=False)
    model.quantize(model.softmax(len(model.tensors) - 1), (1 / 256, 0), "UINT8")
    with pytest.raises(
        MeaningError, match=r"softmax over a single output, which is always 1\. Train it with a sigmoid"
    ):
        of(model, tmp_path, ("a", "b"))


def test_logits_become_softmax_probabilities(tmp_path):
    model = TinyModel((1, 8, 8, 3))
    model.dense(model.mean(0), 3, output=(0.05, 7))
    known = of(model, tmp_path, LABELS[:3])
    outputs = np.random.default_rng(3).integers(-128, 128, (50, 3)).astype(np.int8)
    powers = np.exp(np.float32(0.05) * outputs.astype(float))
    np.testing.assert_allclose(known.scores(outputs), 256 * powers / powers.sum(axis=1, keepdims=True), atol=1.01)


def test_the_better_logit_wins_where_both_probabilities_round_to_the_same(tmp_path):
    model = TinyModel((1, 8, 8, 3))
    model.dense(model.mean(0), 3, output=(1e-4, 0))
    known = of(model, tmp_path, LABELS[:3])
    outputs = np.array([[3, 4, 3]], np.int8)
    assert len(set(known.scores(outputs)[0].tolist())) == 1
    assert known.class_values(outputs).argmax() == 1


def test_uint8_ends_mean_what_int8_ends_mean(tmp_path):
    known = of(uint8_ends(), tmp_path)
    assert (known.softmax, known.single_zero, known.labels) == (None, None, LABELS)


@pytest.mark.parametrize(
    ("size", "cells", "strides"), [(180, 23, (2, 2, 2)), (20, 3, (2, 2, 2)), (8, 3, (3,)), (96, 12, (2, 2, 2))]
)
def test_a_cell_is_as_large_as_the_steps_of_the_layers(size, cells, strides, tmp_path):
    model, rows = TinyModel((1, size, size, 3)), 0
    for stride in strides:
        rows = model.convolution(rows, 4, (3, 3), (stride, stride))
    grid = model.softmax(model.quantize(model.convolution(rows, 5), FINE))
    assert model.shape_of(grid) == (1, cells, cells, 5)
    assert of(model, tmp_path).cell_px == np.prod(strides)


def test_a_grid_without_padding_is_refused_even_if_it_divides_the_image(tmp_path):
    model = TinyModel((1, 24, 24, 3))
    model.softmax(model.convolution(0, 5, (5, 5), (5, 5), "VALID"))
    with pytest.raises(MeaningError, match=r"grid of 4 x 4 cells does not cover 24 x 24 px evenly\. Its layers step 5"):
        of(model, tmp_path)


def test_cells_behind_other_operators_must_divide_the_image(tmp_path):
    assert of(attentive_grid(), tmp_path, LABELS[:3]).cell_px == 4
    model = attentive_grid()
    planes = model.transpose(model.operators[-1].outputs[0], (0, 2, 1, 3))
    assert model.shape_of(planes)[1:3] == (8, 8)
    assert of(model, tmp_path, LABELS[:3]).cell_px == 32 // 8


def test_a_grid_of_one_channel_is_refused(tmp_path):
    model = TinyModel((1, 8, 8, 3))
    model.sigmoid(model.convolution(0, 1, (3, 3), (2, 2)))
    with pytest.raises(MeaningError, match=r"grid has a single channel\. A detector needs one for background"):
        of(model, tmp_path, ("a",))
