import sys

import block_runs
import edge_impulse_recipe
import numpy as np
import pytest
import torch
from drawn_arrays import write_box_arrays

from block import learn
from block.data import reading
from block.model import augment
from block.model.torchvision_compat import import_transforms
from block.pipeline import fit
from block.pipeline.run import Run


@pytest.fixture
def box_arguments(tmp_path, monkeypatch):
    data = write_box_arrays(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "--data-directory", str(data), "--out-directory", "out"])


@pytest.mark.usefixtures("box_arguments")
def test_the_recipe_of_edge_impulse_learns_with_its_augmentation(monkeypatch):
    seen = []

    def run(settings, **_):
        data = reading.read(settings.data_directory)
        learn_with = fit.training_recipe(Run(settings, None, data, debug=False), 0.0).augment
        seen.append(learn_with(torch.zeros(3, data.size, data.size), data.train.labels[1]))

    def transforms():
        import_transforms()
        return lambda image, boxes: (image + 0.5, boxes)

    monkeypatch.setattr(learn, "run", run)
    monkeypatch.setattr(edge_impulse_recipe, "edge_impulse_transforms", transforms)
    edge_impulse_recipe.train_with_edge_impulses_recipe()
    ((image, boxes),) = seen
    assert image.unique().tolist() == [0.5]
    assert len(boxes)


@pytest.mark.usefixtures("box_arguments")
def test_the_recipe_of_edge_impulse_fails_where_its_augmentation_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(learn, "run", lambda *_, **__: None)
    with pytest.raises(SystemExit, match="with this project's own augmentation"):
        edge_impulse_recipe.train_with_edge_impulses_recipe()


def test_the_augmentation_of_edge_impulse_moves_boxes_along():
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


def test_a_benchmark_without_weights_ends_with_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("BLOCK_WEIGHTS", str(tmp_path))
    with pytest.raises(SystemExit, match=r"starts from ImageNet weights, and .* has none: set BLOCK_WEIGHTS"):
        block_runs.run_block(tmp_path)


def test_a_benchmark_takes_the_weights_that_its_caller_names(tmp_path, monkeypatch):
    (tmp_path / "mobilenetv2_035_features7.pt").touch()
    script = tmp_path / "tells.py"
    script.write_text("import os; raise SystemExit(print(os.environ['BLOCK_WEIGHTS']) or 3)")
    monkeypatch.setenv("BLOCK_WEIGHTS", str(tmp_path))
    with pytest.raises(SystemExit, match=f"failed:\n{tmp_path}\n"):
        block_runs.run_block(tmp_path, script=str(script))
