import importlib.util
import json
from pathlib import Path

import click
import jsonschema
import pytest
from report_runs import classification_run, detection_run

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = json.loads((ROOT / "block" / "report" / "metrics.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def reference():
    specification = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["classification", "detection"])
def metrics(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    outputs = classification_run(folder) if request.param == "classification" else detection_run(folder)
    return json.loads(outputs.metrics.read_text(encoding="utf-8"))


def problems(metrics):
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(metrics)]


def test_schema_is_a_valid_json_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_metrics_match_the_schema(metrics):
    assert problems(metrics) == []


def test_schema_refuses_unknown_and_missing_fields(metrics):
    assert problems(metrics | {"surprise": 1}) != []
    assert problems({name: value for name, value in metrics.items() if name != "scores"}) != []
    other = "detection" if metrics["task"] == "classification" else "classification"
    assert problems(metrics | {"task": other}) != []


@pytest.mark.parametrize("name", ["README.md", "docs/commands.md", "docs/outputs.md"])
def test_generated_documentation_is_current(reference, name):
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == reference.PAGES[name](), "run: python docs/reference.py"


def test_every_field_is_described(reference):
    rows = list(reference.fields(SCHEMA, SCHEMA))
    assert len(rows) > 80 and all(text.endswith(".") for _, _, _, text in rows)


def test_help_has_an_example_and_each_option_has_a_default(reference):
    for name, command in reference.commands():
        text = reference.help_text(command, name)
        assert f"Example: {name} " in text, name
        for option in (one for one in command.params if isinstance(one, click.Option)):
            assert option.help, f"{name} {option.opts[0]}"
            shows = option.is_flag or option.required or option.show_default or "[default: " in option.help
            assert shows, f"{name} {option.opts[0]} does not show its default"
