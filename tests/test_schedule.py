import pytest
from test_servable import FIXTURES
from tiny_models import TinyModel, mobilenet

from esp32_deploy.compile import graph, schedule
from esp32_deploy.compile.graph import GraphError
from esp32_deploy.compile.lower import lower


def planned(content):
    return schedule.plan(lower(graph.parse(content, "model.tflite")))


def kinds(plan):
    return [[layer.kind for layer in stage.layers] for stage in plan.stages]


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [
        ("classifier_035_96", 21_296),
        ("classifier_035_96_with_pads", 21_432),
        ("classifier_100_96", 44_384),
        ("classifier_100_160", 71_840),
        ("fomo_035_96", 21_356),
    ],
)
def test_the_plan_of_a_real_model_needs_these_bytes(shared_data, name, bytes_):
    assert planned((shared_data / "models" / f"{name}.tflite").read_bytes()).bytes == bytes_


@pytest.mark.parametrize(("width", "size", "limit_kb"), [(0.35, 96, 22), (0.5, 96, 27), (1.0, 96, 46), (1.0, 224, 106)])
def test_networks_of_this_project_fit_in_internal_memory(width, size, limit_kb):
    plan = planned(mobilenet(width, size).content())
    assert plan.bytes <= limit_kb * 1024
    assert max(plan.segments) <= 64 * 1024


def test_an_inverted_residual_is_one_stage():
    model = TinyModel((1, 12, 12, 8))
    wide = model.convolution(0, 48, activation="RELU")
    model.add(0, model.convolution(model.convolution(wide, 1, (3, 3), depthwise=True), 8))
    plan = planned(model.content())
    assert kinds(plan) == [["pointwise", "depthwise", "pointwise", "add"]]
    (stage,) = plan.stages
    # Two rows of the wide plane are kept. A row of the input is kept until it is added.
    assert (stage.carried, stage.fresh, plan.buffers[0].rows) == (2, 1, 2)
    assert plan.chunks[0].positions == 2 * 6 + 1


def test_a_window_of_stride_two_keeps_one_wide_row():
    model = TinyModel((1, 12, 12, 8))
    model.convolution(model.convolution(0, 48), 1, (3, 3), (2, 2), depthwise=True)
    (stage,) = planned(model.content()).stages
    assert (stage.carried, stage.fresh, stage.kept, stage.first) == (1, 2, 1, -1)


def test_rows_are_kept_until_both_branches_have_read_them():
    model = TinyModel((1, 10, 10, 4))
    branch = model.convolution(model.convolution(0, 4, (3, 3)), 4, (3, 3))
    short = model.convolution(0, 4)
    model.convolution(model.add(short, branch), 4, (3, 3))
    plan = planned(model.content())
    assert kinds(plan) == [["convolution"], ["convolution"], ["pointwise", "add"], ["convolution"]]
    # The longer branch has two windows and is two rows behind. The shorter one waits, so the image keeps three rows.
    assert plan.buffers[0].rows == 3


def test_padding_moves_into_the_next_convolution():
    model = TinyModel((1, 8, 8, 3))
    model.convolution(model.pad(0, (1, 1), (1, 1)), 4, (3, 3), (2, 2), "VALID")
    (stage,) = planned(model.content()).stages
    assert kinds(planned(model.content())) == [["convolution"]]
    assert (stage.geometry.top, stage.geometry.left) == (1, 1)


def test_every_layer_runs_in_exactly_one_stage(shared_data):
    for name in FIXTURES:
        program = lower(graph.read(shared_data / "models" / f"{name}.tflite"))
        layers = [layer for stage in schedule.build_stages(program) for layer in stage.layers]
        assert sorted(map(id, layers)) == sorted(map(id, program.layers))


def test_a_piece_of_memory_larger_than_a_segment_is_refused():
    model = TinyModel((1, 200, 200, 3))
    model.dense(model.reshape(model.convolution(0, 3, (3, 3)), (1, 120_000)), 2)
    with pytest.raises(GraphError, match="At most 65536 are possible"):
        planned(model.content())
