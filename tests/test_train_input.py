import json

import pytest
from drawn_arrays import write_arrays, write_box_arrays

from block.data import reading
from block.report import summary

# a project's file as Studio writes it, apart from classes, mode and shape
STUDIO = {
    "printHWInfo": False,
    "trainTestSplit": 0.2,
    "stratifiedTrainTest": False,
    "onlineDspConfig": None,
    "convertInt8": True,
    "profileInt8": True,
    "skipEmbeddingsAndMemory": False,
    "objectDetectionAugmentation": False,
    "objectDetectionBatchSize": None,
    "syntiantTarget": False,
    "maxTrainingTimeSeconds": 1200,
    "remainingGpuComputeTimeSeconds": None,
    "isEnterpriseProject": False,
    "flattenDataset": False,
    "akidaModel": False,
    "akidaEdgeModel": False,
    "skipMemoryProfiling": False,
    "tensorboardLogging": False,
    "customValidationSplit": False,
    "asyncMemoryProfiling": True,
}


@pytest.fixture
def classes(tmp_path):
    return write_arrays(tmp_path, inputShapeString="(48, 48, 3)", yType="npy", **STUDIO)


@pytest.fixture
def boxes(tmp_path):
    write_box_arrays(tmp_path)
    return change(tmp_path, yType="structured", objectDetectionLastLayer="fomo", **STUDIO)


def change(directory, **fields):
    path = directory / "train_input.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return directory


def warning(directory):
    (text,) = reading.read(directory).warnings
    assert "\n" not in text
    return text


def test_studios_file_gives_no_warning(classes):
    data = reading.read(classes)
    assert (data.warnings, data.max_training_seconds) == ((), 1200)


def test_a_detectors_file_gives_no_warning(boxes):
    data = reading.read(boxes)
    assert (data.warnings, data.task, data.classes) == ((), "detection", ("blue", "green"))


def test_data_without_the_file_gives_no_warning(classes):
    (classes / "train_input.json").unlink()
    assert reading.read(classes).warnings == ()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("inputShapeString", "(96, 96, 3)", "(96, 96, 3), but the arrays hold images of (48, 48, 3)"),
        ("inputShapeString", "(48, 48, 1)", "its class names are wrong too"),
        ("yType", "structured", "the label files are for classification"),
        ("maxTrainingTimeSeconds", "soon", "'soon', which is not a time"),
        ("maxTrainingTimeSeconds", -5, "has no time limit"),
        ("syntiantTarget", True, "Syntiant"),
        ("akidaModel", True, "Akida"),
        ("akidaEdgeModel", True, "Akida"),
        ("tensorboardLogging", True, "history.csv"),
    ],
)
def test_a_setting_that_is_not_followed_is_named(classes, field, value, words):
    text = warning(change(classes, **{field: value}))
    assert field in text and words in text


@pytest.mark.parametrize("field", ["yType", "inputShapeString", "maxTrainingTimeSeconds", "objectDetectionLastLayer"])
def test_a_setting_without_a_value_gives_no_warning(boxes, field):
    assert reading.read(change(boxes, **{field: None})).warnings == ()


def test_boxes_for_a_detector_that_is_not_fomo_are_named(boxes):
    text = warning(change(boxes, objectDetectionLastLayer="yolov5"))
    assert "objectDetectionLastLayer 'yolov5'" in text and "pushed with objectDetectionLastLayer 'fomo'" in text


@pytest.mark.parametrize("mode", ["regression", "visual-anomaly", "anomaly-gmm"])
def test_projects_of_another_kind_are_refused(classes, mode):
    with pytest.raises(reading.BlockError, match=f"mode '{mode}'"):
        reading.read(change(classes, mode=mode))


def test_warnings_are_printed_with_the_data(classes, capsys):
    summary.describe_data(reading.read(change(classes, akidaModel=True)))
    assert "Warning: train_input.json has akidaModel. This block makes no model" in capsys.readouterr().out
