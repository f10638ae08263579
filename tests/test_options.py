import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import train
from block import learn, options
from block.errors import BlockError
from block.settings import AUTO_BATCH_SIZES, PhotoSettings, Settings, from_dict

ROOT = Path(__file__).resolve().parents[1]
VALUE_TYPES = {"int": int, "float": float, "string": str, "select": str, "boolean": bool}
OPTION_TYPES = {
    "int": ("integer", "integer range"),
    "float": "float",
    "string": "text",
    "select": "choice",
    "boolean": "boolean",
}


KINDS = {"image": "parameters.json", "object_detection": "variants/fomo/parameters.json"}

OTHER_DEFAULTS = {
    # Studio decodes the grid itself and uses fuse
    ("object_detection", "decode"): "fuse",
    # the command line has no default: it depends on the task
    ("image", "batch-size"): AUTO_BATCH_SIZES["classification"],
    ("object_detection", "batch-size"): AUTO_BATCH_SIZES["detection"],
}


def studio_options(kind):
    def command():
        pass

    for group in (options.detection_options, options.studio_options)[kind == "image" :]:
        command = group(command)
    return {option.opts[0].removeprefix("--"): option for option in reversed(command.__click_params__)}


def parameters(kind):
    return {item["param"]: item for item in json.loads((ROOT / KINDS[kind]).read_text())["parameters"]}


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_json_lists_the_studio_options_in_order(kind):
    assert list(parameters(kind)) == list(studio_options(kind))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in studio_options(kind)])
def test_parameters_json_has_the_type_default_and_choices_of_each_option(kind, name):
    option, item = studio_options(kind)[name], parameters(kind)[name]
    assert isinstance(item["value"], VALUE_TYPES[item["type"]])
    assert option.type.name in OPTION_TYPES[item["type"]]
    assert item["value"] == OTHER_DEFAULTS.get((kind, name), option.default)
    if item["type"] == "select":
        assert item["valid"] == list(option.type.choices)
        assert item["value"] in item["valid"]


def test_train_py_does_not_name_the_flag_of_the_old_studio_contract():
    assert "validation-set-size" not in (ROOT / "train.py").read_text()


def parse(*arguments):
    seen = {}

    def run(settings, *, debug, ignored):
        seen.update(settings=settings, debug=debug, ignored=ignored)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learn, "run", run)
        folders = ["--data-directory", "in", "--out-directory", "out"]
        result = CliRunner().invoke(train.train, [*folders, *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen


def test_default_options_give_default_settings():
    assert parse()["settings"] == Settings(Path("in"), Path("out"))


def test_studio_options_reach_the_settings():
    settings = parse("--info-file", "i.json", "--epochs", "5", "--augment", "0", "--width", "0.5", "--cut", "block_5")[
        "settings"
    ]
    assert (settings.info_file, settings.epochs, settings.augment) == (Path("i.json"), 5, False)
    assert (settings.width, settings.cut) == (0.5, "block_5")


def test_detection_options_reach_the_settings():
    settings = parse("--attention", "1", "--decode", "fuse", "--loss", "edge-impulse", "--task", "detection")[
        "settings"
    ]
    assert (settings.attention, settings.decode, settings.loss) == (True, "fuse", "edge-impulse")
    assert settings.photos.task == "detection"


def test_photo_options_reach_the_settings():
    settings = parse("--size", "160", "--resize", "crop", "--color", "grayscale", "--labels-from", "name")["settings"]
    assert settings.photos == PhotoSettings(160, "crop", "grayscale", "name")


def test_debug_is_a_flag_without_a_value():
    assert (parse()["debug"], parse("--debug")["debug"]) == (False, True)


def test_input_file_is_another_name_of_info_file():
    assert parse("--input-file", "i.json")["settings"].info_file == Path("i.json")


def test_unknown_arguments_are_listed_with_a_suggestion():
    unknown = parse("--epoch", "3", "--input-shape", "(96, 96, 1)", "--zebra=1")["ignored"]
    assert unknown[0] == "--epoch (did you mean --epochs?)"
    assert unknown[1] == "3"
    assert unknown[-1] == "--zebra=1"


@pytest.mark.parametrize(
    ("choice", "flag"),
    [
        ({"epochs": 0}, "--epochs"),
        ({"batch_size": 1}, "--batch-size"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"library_name": "1st"}, "--library-name"),
        ({"library_name": "a" * 33}, "--library-name"),
    ],
)
def test_invalid_setting_is_refused_by_its_flag(choice, flag):
    with pytest.raises(BlockError, match=flag):
        Settings(Path("in"), Path("out"), **choice)


@pytest.mark.parametrize("name", ["class", "string", "setup", "WiFi", "a__b", "my_library", "fruit-spotter"])
def test_invalid_library_name_is_refused_before_training(name):
    with pytest.raises(BlockError, match=rf"The library cannot be called '{name}': .* \(--library-name\)"):
        Settings(Path("in"), Path("out"), library_name=name)


@pytest.mark.parametrize("size", [40, 97, 328])
def test_invalid_input_size_is_refused(size):
    with pytest.raises(BlockError, match="--size"):
        PhotoSettings(size=size)


def test_settings_can_be_read_back_from_json():
    settings = Settings(Path("in"), Path("out"), Path("i.json"), width=1.0, photos=PhotoSettings(colour="grayscale"))
    assert from_dict(json.loads(json.dumps(settings.as_dict()))) == settings


def test_edge_impulse_loss_requires_fuse():
    with pytest.raises(BlockError, match="Choose --decode fuse"):
        Settings(Path("in"), Path("out"), loss="edge-impulse")
    assert Settings(Path("in"), Path("out"), loss="edge-impulse", decode="fuse").loss == "edge-impulse"
