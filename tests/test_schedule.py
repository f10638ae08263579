import pytest
from test_servable import FIXTURES
from tiny_models import TinyModel, mobilenet

from esp32_deploy.compile import graph, schedule
from esp32_deploy.compile.division import Division
from esp32_deploy.compile.graph import GraphError
from esp32_deploy.compile.lower import lower


def planned(content):
    return schedule.plan(lower(graph.parse(content, "model.tflite")))


def kinds(plan):
    return [[layer.kind for layer in stage.layers] for stage in plan.stages]


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [
        ("classifier_035_96", 13_756),
        ("classifier_035_96_with_pads", 13_828),
        ("classifier_100_96", 29_648),
        ("classifier_100_160", 63_420),
        ("fomo_035_96", 13_756),
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


def narrowing_network(blocks=4):
    model = TinyModel((1, 24, 24, 3))
    rows = model.convolution(model.convolution(0, 8, (3, 3), (2, 2)), 64, (3, 3), (2, 2))
    for _ in range(blocks):
        rows = model.convolution(model.convolution(rows, 1, (3, 3), depthwise=True), 64)
    model.mean(rows)
    return model


def test_planes_of_few_rows_run_layer_by_layer_in_the_same_memory():
    plan = planned(narrowing_network().content())
    assert kinds(plan)[plan.streamed :] == [["depthwise", "pointwise"]] * 4 + [["mean"]]
    whole = [plan.buffers[stage.target] for stage in plan.stages[plan.streamed : -1]]
    assert {(buffer.rows, buffer.pitch, buffer.place.bytes) for buffer in whole} == {(6, 6, 6 * 6 * 64)}
    # Each depthwise convolution reads copies of three padded rows, so its block's output overwrites its input.
    assert len({buffer.place for buffer in (*whole, plan.buffers[plan.stages[plan.streamed].source])}) == 1
    assert {copy.rows for copy in plan.copies.values()} == {3}


def test_more_late_layers_need_no_more_memory():
    assert planned(narrowing_network(12).content()).bytes == planned(narrowing_network(3).content()).bytes


def test_a_network_that_gains_nothing_from_whole_planes_streams_to_the_end():
    model = TinyModel((1, 40, 8, 3))
    rows = model.convolution(0, 8, (3, 3))
    for _ in range(3):
        rows = model.convolution(model.convolution(rows, 1, (3, 3), depthwise=True), 8)
    plan = planned(model.content(model.mean(rows)))
    assert plan.streamed == len(plan.stages)
    assert plan.copies == {}


def test_the_division_with_the_least_memory_is_chosen():
    program = lower(graph.parse(narrowing_network().content(), "model.tflite"))
    stages = tuple(schedule.build_stages(program))
    divisions = [Division(program, stages, streamed) for streamed in range(1, len(stages) + 1)]
    needed = [schedule.draft(division).schedule().needed_bytes for division in divisions]
    best = schedule.plan(program)
    assert best.needed_bytes == min(needed) == needed[best.streamed - 1] < needed[-1]


def test_a_plane_padded_with_two_values_is_served_by_whole_planes():
    model = TinyModel((1, 12, 12, 3), zero_point=7)
    first = model.convolution(0, 4, (3, 3), (2, 2))
    pooled = model.pool("MAX", first, (3, 3), (1, 1), "SAME")
    model.add(pooled, model.convolution(first, 4, (3, 3)))
    plan = planned(model.content())
    assert sorted(copy.pad for copy in plan.copies.values()) == [0, 133]


def test_a_piece_of_memory_larger_than_a_segment_is_refused():
    model = TinyModel((1, 200, 200, 3))
    model.dense(model.reshape(model.convolution(0, 3, (3, 3)), (1, 120_000)), 2)
    with pytest.raises(GraphError, match="At most 65536 are possible"):
        planned(model.content())
