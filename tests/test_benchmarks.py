import block_runs
import edge_impulse_recipe
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from drawn_arrays import write_box_arrays

from block import learn
from block.data import reading
from block.model import augment
from block.pipeline.run import Run


def test_edge_impulse_recipe_is_adam_with_its_own_augmentation(tmp_path, monkeypatch):
    chosen = []

    def transforms():
        return lambda image, boxes: (image + 0.5, boxes)

    def no_training(settings, debug, choose_recipe):
        data = reading.read(settings.data_directory)
        chosen.append((data, choose_recipe(Run(settings, None, data, debug), 0.0)))

    monkeypatch.setattr(edge_impulse_recipe, "edge_impulse_transforms", transforms)
    monkeypatch.setattr(learn, "run", no_training)
    arguments = ["--data-directory", str(write_box_arrays(tmp_path)), "--out-directory", "out", "--batch-size", "32"]
    assert CliRunner().invoke(edge_impulse_recipe.main, arguments, catch_exceptions=False).exit_code == 0
    ((data, recipe),) = chosen
    image, boxes = recipe.augment(torch.zeros(3, data.size, data.size), data.train.labels[1])
    assert image.unique().tolist() == [0.5]
    assert len(boxes)
    assert (recipe.weight_decay, recipe.average_decay, recipe.batch_size) == (0, 0, 32)
    assert {recipe.schedule(step / 10) for step in range(11)} == {1.0}


def test_edge_impulse_augmentation_moves_boxes():
    torch.manual_seed(3)
    boxes = np.array([[1, 16, 16, 16, 16]])
    move = augment.box_augmentation(48, transforms=edge_impulse_recipe.edge_impulse_transforms())
    image = torch.zeros(3, 48, 48)
    image[:, 16:32, 16:32] = 1
    for _ in range(5):
        moved, ((label, x, y, width, height),) = move(image, boxes)
        rows, columns = torch.nonzero(moved[0] > 0.3).T
        assert label == 1
        assert abs(float(columns.float().mean()) + 0.5 - (x + width / 2)) < 1.5
        assert abs(float(rows.float().mean()) + 0.5 - (y + height / 2)) < 1.5


def test_a_benchmark_without_weights_exits_with_a_message(tmp_path, monkeypatch):
    monkeypatch.setenv("BLOCK_WEIGHTS", str(tmp_path))
    with pytest.raises(SystemExit, match=r"needs ImageNet weights. .* contains none. Set BLOCK_WEIGHTS"):
        block_runs.run_block(tmp_path)


def test_a_benchmark_uses_block_weights(tmp_path, monkeypatch):
    (tmp_path / "mobilenetv2_035_features7.pt").touch()
    script = tmp_path / "tells.py"
    script.write_text("import os; raise SystemExit(print(os.environ['BLOCK_WEIGHTS']) or 3)")
    monkeypatch.setenv("BLOCK_WEIGHTS", str(tmp_path))
    with pytest.raises(SystemExit, match=f"failed:\n{tmp_path}\n"):
        block_runs.run_block(tmp_path, script=str(script))
