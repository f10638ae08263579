import csv
import json
import re
import shutil
import zipfile
from collections import Counter

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from drawn_arrays import write_box_arrays
from PIL import Image

from block.__main__ import block
from block.measure import detections
from block.model.augment import box_augmentation, visible_boxes
from block.model.detection import DetectionTask, build_network, cell_grid, shared_grid
from block.model.network import NetworkShape
from train import train as train_command

SHAPE = NetworkShape(0.35, "block_6_expand", 3, 2, 48)


def task(loss="softmax", decode="fuse"):
    return DetectionTask(SHAPE, loss, decode, lambda grids, _: float(grids[..., 1:].max()))


def boxes(*rows):
    return np.array(rows, dtype=int).reshape(-1, 5)


def test_cell_grid_marks_the_cell_of_the_centre():
    grid = cell_grid(boxes((1, 10, 20, 12, 8)), 2, 6, 48)
    assert grid.shape == (3, 6, 6)
    assert np.argwhere(grid[2]).tolist() == [[3, 2]]
    assert (grid.sum(axis=0) == 1).all()


def test_cell_grid_keeps_the_smaller_of_two_objects_in_a_cell():
    target = cell_grid(boxes((1, 1, 1, 3, 3), (0, 0, 0, 6, 6)), 2, 6, 48)
    assert target[:, 0, 0].tolist() == [0, 0, 1]


def test_cell_grid_puts_an_object_at_the_far_edge_into_the_last_cell():
    assert cell_grid(boxes((0, 48, 48, 0, 0)), 2, 6, 48)[1, 5, 5] == 1


def test_shared_grid_gives_bilinear_weights_to_four_cells():
    # the object's centre is 1/4 cell to the right of the centre of the cell in row 2, column 1, and 1/2 cell below it
    grid = shared_grid(boxes((1, 8, 20, 12, 8)), 2, 6, 48)
    assert grid[2, 2:4, 1:3].tolist() == [[0.375, 0.125], [0.375, 0.125]]
    assert grid[1:].sum() == 1 and (grid.sum(axis=0) == 1).all()


def test_shared_grid_keeps_the_whole_weight_at_the_edge():
    assert shared_grid(boxes((0, 0, 46, 2, 2)), 2, 6, 48)[1, 5, 0] == 1


def test_shared_grid_normalises_a_crowded_cell():
    grid = shared_grid(boxes((0, 2, 2, 4, 4), (0, 3, 2, 2, 4), (1, 2, 2, 4, 4)), 2, 6, 48)
    assert grid[:, 0, 0] == pytest.approx([0, 2 / 3, 1 / 3])


def test_targets_are_shared_for_peaks_and_not_for_fuse():
    labels = [boxes((0, 8, 20, 12, 8))]
    assert task(decode="peaks").targets(labels).unique().numel() > 2
    assert task(decode="fuse").targets(labels).unique().tolist() == [0, 1]


def test_softmax_loss_of_a_perfect_output_is_zero():
    one = task(decode="peaks")
    targets = one.targets([boxes((0, 9, 9, 9, 9), (1, 30, 20, 9, 9))])
    assert one.loss(targets.clamp_min(1e-9).log(), targets).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "edge-impulse"])
def test_loss_is_lowest_for_the_true_class(loss):
    one = task(loss)
    right, other, nothing = (one.targets([row]) for row in (boxes((0, 9, 9, 9, 9)), boxes((1, 9, 9, 9, 9)), boxes()))
    losses = [one.loss((output * 2 - 1) * 5, right) for output in (right, other, nothing)]
    assert losses[0] < min(losses[1:])


def test_edge_impulse_loss_is_a_mean_with_weight_100_for_objects():
    targets = task().targets([boxes((0, 10, 20, 12, 8))])
    logits = torch.zeros_like(targets)
    cells = 36
    expected = np.log(2) * (3 * cells - 1 + 100) / (3 * cells)
    assert task("edge-impulse").loss(logits, targets).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", ["softmax", "edge-impulse"])
def test_initial_biases_follow_the_class_shares(loss):
    network = build_network(SHAPE)
    task(loss).start_from_priors(network, [boxes((0, 10, 20, 12, 8))] * 9 + [boxes()])
    bias = network.logits.bias.detach()
    assert bias[0] > bias[1] > bias[2]


def test_a_higher_score_has_a_higher_merit():
    assert task().merit(loss=9.0, score=0.8) > task().merit(loss=0.1, score=0.7)


def test_latest_epoch_within_the_uncertainty_of_the_score_is_kept():
    fused = DetectionTask(SHAPE, "softmax", "fuse", lambda *_: 0.0, lambda score: 0.1 if score < 0.9 else 0.02)
    merits = [fused.merit(loss=1.0, score=score) for score in (0.3, 0.8, 0.71, 0.69, 0.95, 0.94, 0.92)]
    kept = [fused.keeps(merit, max(merits[:number])) for number, merit in enumerate(merits) if number]
    assert kept == [True, True, False, True, True, False]


def test_without_uncertainty_only_a_better_epoch_is_kept():
    one = task()
    assert one.keeps(one.merit(0.1, 0.8), one.merit(0.2, 0.8))
    assert not one.keeps(one.merit(0.2, 0.8), one.merit(0.2, 0.8))
    assert not one.keeps(one.merit(0.1, 0.79), one.merit(0.2, 0.8))


def test_at_equal_score_a_lower_loss_has_a_higher_merit():
    assert task().merit(loss=0.1, score=1.0) > task().merit(loss=0.2, score=1.0)


@pytest.mark.parametrize(("cut", "grid"), [("block_6_expand", 12), ("block_5", 12), ("block_3_expand", 24)])
@pytest.mark.parametrize("attention", [False, True])
def test_each_cut_has_its_grid_size(cut, grid, attention):
    shape = NetworkShape(0.35, cut, 3, 4, 96, attention)
    assert shape.grid == grid
    assert build_network(shape).eval()(torch.zeros(2, 3, 96, 96)).shape == (2, 5, grid, grid)


def test_boxes_move_with_their_objects():
    torch.manual_seed(0)
    augment = box_augmentation(48)
    image = torch.zeros(3, 48, 48)
    image[:, 12:24, 20:32] = 1
    for _ in range(30):
        moved_image, moved = augment(image, boxes((1, 20, 12, 12, 12)))
        bright = np.argwhere(moved_image.mean(0).numpy() > 0.1)
        ((label, x, y, width, height),) = moved
        assert label == 1
        center = (bright.min(0) + bright.max(0) + 1) / 2
        assert np.abs(center - (y + height / 2, x + width / 2)).max() < 1.5


def test_box_augmentation_stays_within_its_limits():
    torch.manual_seed(0)
    augment = box_augmentation(100)
    moved = np.concatenate([augment(torch.zeros(3, 100, 100), boxes((0, 40, 40, 20, 20)))[1] for _ in range(200)])
    centers = moved[:, 1:3] + moved[:, 3:] / 2
    # shifts are at most 6 % of the side, and they are symmetric
    assert 5 < np.abs(centers - 50).max() < 7
    assert np.abs(centers.mean(0) - 50).max() < 1
    # a box around a box that is rotated by 5° and a tenth larger or smaller
    grown = np.cos(np.radians(5)) + np.sin(np.radians(5))
    assert 20 * 0.9 - 0.1 < moved[:, 3:].min() < 20 * 0.95 and 20 < moved[:, 3:].max() < 20 * 1.1 * grown + 0.1


def test_boxes_mostly_outside_are_dropped():
    edges = np.array([[-8.0, 0, 10, 10], [-5, 0, 10, 10], [40, 40, 10, 10]])
    assert visible_boxes(np.array([0, 1, 2]), edges, 48).tolist() == [[1, 0, 0, 5, 10], [2, 40, 40, 8, 8]]


def train(arrays, out, *options):
    folders = ["--data-directory", str(arrays), "--out-directory", str(out)]
    result = CliRunner().invoke(
        train_command, [*folders, "--pretrained", "0", "--augment", "0", "--batch-size", "8", *options]
    )
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="session")
def detector(tmp_path_factory):
    arrays = write_box_arrays(tmp_path_factory.mktemp("boxes"))
    out = tmp_path_factory.mktemp("detector")
    return arrays, out, train(arrays, out, "--epochs", "12")


def test_studio_boxes_select_the_detection_task(detector):
    _, out, result = detector
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["task"] == "detection"
    assert (metrics["detection"]["grid"], metrics["detection"]["cell_px"]) == (6, 8)
    assert "objects" in result.stdout and "images without" in result.stdout
    int8, float32 = (metrics["scores"]["validation"][name] for name in ("tflm_int8", "torch"))
    assert float32["f1"] > 0.6
    assert abs(float32["f1"] - int8["f1"]) < 0.1
    assert len(metrics["detection"]["curve"]) == len(detections.THRESHOLDS)


def test_a_detector_has_four_operators_and_outputs_a_grid_channels_last(detector):
    _, out, _ = detector
    from esp32_deploy.compile import graph

    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["footprint"]["operators"] == ["ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX"]
    model = graph.read(out / "model_quantized_int8_io.tflite")
    assert model.outputs[0].shape == (1, 6, 6, 3)
    assert model.outputs[0].scales[0] == 1 / 256


def test_deploy_json_contains_decoder_and_threshold(detector):
    _, out, _ = detector
    deploy = json.loads((out / "deploy.json").read_text())
    metrics = json.loads((out / "metrics.json").read_text())
    assert (deploy["task"], deploy["decode"], deploy["labels"]) == ("detection", "peaks", ["blue", "green"])
    assert deploy["threshold"] == metrics["detection"]["threshold"] == 0.5
    assert deploy["figures"]["f1"] == metrics["scores"]["validation"]["tflm_int8"]["f1"]


@pytest.fixture(scope="session")
def fused(tmp_path_factory):
    arrays = write_box_arrays(tmp_path_factory.mktemp("fused_boxes"))
    out = tmp_path_factory.mktemp("fused")
    train(arrays, out, "--epochs", "12", "--decode", "fuse")
    return arrays, out


def decode_as_studio_does(grid, cell_px):
    """Boxes of touching cells of at least 0.5, by class: (class, centre x, centre y). Written without block.measure."""
    found = []
    for label in range(1, grid.shape[2]):
        groups = []
        for row, column in np.argwhere(grid[:, :, label] >= 0.5):
            cells = {(row, column)}
            near = [group for group in groups if any(max(abs(row - r), abs(column - c)) <= 1 for r, c in group)]
            for group in near:
                groups.remove(group)
                cells |= group
            groups.append(cells)
        for group in groups:
            (top, left), (bottom, right) = np.min(list(group), axis=0), np.max(list(group), axis=0)
            found.append((label, (left + right + 1) * cell_px / 2, (top + bottom + 1) * cell_px / 2))
    return found


def test_decoding_the_int8_file_at_one_half_finds_what_the_report_says(fused):
    from tflite_micro.python.tflite_micro import runtime

    arrays, out = fused
    images = np.load(arrays / "X_split_test.npy")
    samples = json.loads((arrays / "Y_split_test.npy").read_text())
    interpreter = runtime.Interpreter.from_file(str(out / "model_quantized_int8_io.tflite"))
    right, false_positives, false_negatives = 0, 0, 0
    for image, sample in zip(images, samples, strict=True):
        interpreter.set_input((np.rint(image * 255) - 128).astype(np.int8)[np.newaxis], 0)
        interpreter.invoke()
        grid = (interpreter.get_output(0)[0].astype(int) + 128) / 256
        truths = [(box["label"], box["x"] + box["w"] / 2, box["y"] + box["h"] / 2) for box in sample["boundingBoxes"]]
        hit = set()
        for label, x, y in decode_as_studio_does(grid, 48 // len(grid)):
            distances = [np.hypot(x - true_x, y - true_y) for _, true_x, true_y in truths]
            nearest = int(np.argmin(distances)) if truths else -1
            if nearest < 0 or distances[nearest] > 0.2 * 48:
                false_positives += 1
                continue
            hit.add(nearest)
            # Edge Impulse takes the upper triangle for false positives and the lower one for false negatives
            right += label == truths[nearest][0]
            false_positives += label > truths[nearest][0]
            false_negatives += label < truths[nearest][0]
        false_negatives += len(truths) - len(hit)
    precision, recall = right / (right + false_positives), right / (right + false_negatives)
    reported = json.loads((out / "metrics.json").read_text())["scores"]["validation"]["tflm_int8"]["ei_f1"]
    assert reported > 0.6
    assert 2 * precision * recall / (precision + recall) == pytest.approx(reported, abs=1e-9)


@pytest.mark.parametrize("objects", [1, 4, 36])
def test_fused_objects_weigh_the_more_the_rarer_they_are(objects):
    rare = DetectionTask(SHAPE, "softmax", "fuse", lambda *_: 0.0)
    cell = SHAPE.size // SHAPE.grid
    places = [(column * cell, row * cell) for row in range(SHAPE.grid) for column in range(SHAPE.grid)][:objects]
    rare.start_from_priors(build_network(SHAPE), [boxes(*((0, x, y, cell, cell) for x, y in places))])
    background = SHAPE.grid**2 - objects + 1
    expected = max(1.0, (background / (objects + SHAPE.classes)) ** 0.5)
    assert rare.class_weights.tolist() == pytest.approx([1.0] + [expected] * SHAPE.classes)


def test_peaks_give_all_cells_the_same_weight():
    even = DetectionTask(SHAPE, "softmax", "peaks", lambda *_: 0.0)
    even.start_from_priors(build_network(SHAPE), [boxes((0, 8, 8, 8, 8))])
    assert even.class_weights.tolist() == [1.0] * (1 + SHAPE.classes)


def test_predictions_csv_has_a_row_per_true_box_and_detection(detector):
    arrays, out, _ = detector
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truths = [box for image in json.loads((arrays / "Y_split_test.npy").read_text()) for box in image["boundingBoxes"]]
    assert sum(row["kind"] == "truth" for row in rows) == len(truths)
    int8 = json.loads((out / "metrics.json").read_text())["scores"]["validation"]["tflm_int8"]
    detected = [row for row in rows if row["kind"] == "int8"]
    assert sum(row["matched"] == "1" for row in detected) / len(detected) == pytest.approx(int8["precision"])


def write_box_photos(folder):
    # writes the drawn arrays as photos with Pascal VOC files, in the folders train and test
    arrays = write_box_arrays(folder.parent)
    for place, split in {"train": "train", "test": "test"}.items():
        (folder / place).mkdir(parents=True)
        features = np.load(arrays / f"X_split_{split}.npy")
        samples = json.loads((arrays / f"Y_split_{split}.npy").read_text())
        for number, (pixels, sample) in enumerate(zip(features, samples, strict=True)):
            Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(folder / place / f"{number}.png")
            objects = "".join(
                f"<object><name>{['blue', 'green'][box['label'] - 1]}</name><bndbox><xmin>{box['x']}</xmin>"
                f"<ymin>{box['y']}</ymin><xmax>{box['x'] + box['w']}</xmax><ymax>{box['y'] + box['h']}</ymax></bndbox>"
                "</object>"
                for box in sample["boundingBoxes"]
            )
            (folder / place / f"{number}.xml").write_text(f"<annotation>{objects}</annotation>")
    return folder


@pytest.fixture(scope="session")
def detector_with_test_photos(tmp_path_factory):
    photos = write_box_photos(tmp_path_factory.mktemp("box_photos") / "photos")
    out = tmp_path_factory.mktemp("test_photos")
    options = ["--epochs", "20", "--size", "48", "--loss", "edge-impulse", "--decode", "fuse"]
    return photos, out, train(photos, out, "--task", "detection", *options)


def test_test_photos_score_a_detector_trained_on_all_others(
    detector_with_test_photos,
):
    _, out, result = detector_with_test_photos
    metrics = json.loads((out / "metrics.json").read_text())
    assert "Training again for all epochs, on all 40 training and validation images" in result.stdout
    assert (list(metrics["scores"]), metrics["training"]["splits"]) == (["holdout"], ["train", "validation"])
    assert metrics["scores"]["holdout"]["tflm_int8"]["images"] == 40
    assert metrics["scores"]["holdout"]["tflm_int8"]["f1"] > 0.6
    curve = {row["threshold"]: row["f1"] for row in metrics["detection"]["curve"]}
    assert curve[metrics["detection"]["threshold"]] > max(curve.values()) - 0.05
    deploy = json.loads((out / "deploy.json").read_text())
    assert (deploy["decode"], deploy["resize"], deploy["figures"]["split"]) == ("fuse", "squash", "holdout")
    assert deploy["threshold"] == metrics["detection"]["threshold"]


def test_convert_recreates_the_files_of_a_detector(detector_with_test_photos, tmp_path):
    _, out, _ = detector_with_test_photos
    again = shutil.copytree(out, tmp_path / "again")
    models = ["model.onnx", "model.tflite", "model_quantized_int8_io.tflite"]
    for name in [*models, "metrics.json", "deploy.json"]:
        (again / name).unlink()
    result = CliRunner().invoke(block, ["convert", str(again)])
    assert result.exit_code == 0, result.output
    for name in [*models, "deploy.json"]:
        assert (again / name).read_bytes() == (out / name).read_bytes(), name


def test_predict_finds_the_objects_in_predictions_csv(detector_with_test_photos, tmp_path):
    photos, out, _ = detector_with_test_photos
    result = CliRunner().invoke(
        block, ["predict", str(out / "model_quantized_int8_io.tflite"), str(photos / "test"), "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    with (out / "predictions.csv").open(newline="") as file:
        expected = Counter(row["label"] for row in csv.DictReader(file) if row["kind"] == "int8")
    found = Counter()
    for line in result.stdout.splitlines():
        for count, label in re.findall(r"(\d+) (blue|green)", line):
            found[label] += int(count)
    assert found == expected and len(list(tmp_path.glob("*.png"))) == 40


def test_attention_uses_the_tflm_runtime(tmp_path):
    arrays, out = write_box_arrays(tmp_path), tmp_path / "out"
    result = train(
        arrays,
        out,
        "--epochs",
        "1",
        "--attention",
        "1",
        "--augment",
        "1",
        "--decode",
        "fuse",
        "--library-name",
        "sides",
    )
    metrics = json.loads((out / "metrics.json").read_text())
    assert "BATCH_MATMUL" in metrics["footprint"]["operators"]
    assert metrics["footprint"]["tflm_arena_bytes"] > 0
    assert "tflm_int8" in metrics["scores"]["validation"]
    assert "it uses TensorFlow Lite Micro's interpreter." in result.stdout
    assert "some images are mirrored. If left and right differ in your photos, use --mirror 0" in result.stdout
    with zipfile.ZipFile(out / "sides.zip") as library:
        sources = [library.read(name).decode() for name in library.namelist() if name.endswith((".h", ".cpp"))]
    assert any("MicroMutableOpResolver" in source for source in sources)
