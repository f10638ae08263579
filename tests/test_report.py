import csv
import json
import shutil
import tracemalloc
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from drawn_arrays import CLASSES, write_arrays
from report_runs import classification_run, detection_run

from block import console
from block.__main__ import block
from block.data import reading
from block.data.contract import Outputs
from block.pipeline import package
from block.pipeline.run import Run
from block.report import data_checks, gallery, page

VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Parses a page: elements with their attributes, and text. Fails if tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classified")
    outputs = classification_run(folder)
    page.write(outputs, reading.read(folder / "data"))
    return folder, outputs, Page(outputs.report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def detected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detected")
    outputs = detection_run(folder)
    page.write(outputs, reading.read(folder / "data"))
    return outputs, Page(outputs.report.read_text(encoding="utf-8"))


def test_first_line_shows_int8_accuracy_on_test_photos(classified):
    _, outputs, shown = classified
    accuracy = json.loads(outputs.metrics.read_text())["scores"]["holdout"]["tflm_int8"]["accuracy"]
    assert f"Accuracy {accuracy:.1%} on 12 test photos (int8)." in shown.words
    assert "needs no PSRAM" in shown.words


def test_all_scored_photos_are_shown_worst_mistake_first(classified):
    _, outputs, shown = classified
    photos = [element for element in shown.all("figure") if "data-kinds" in element]
    assert len(photos) == 20 + 12
    mistaken = ["wrong" in photo["data-kinds"].split() for photo in photos]
    assert mistaken == sorted(mistaken, reverse=True) and any(mistaken)
    with outputs.predictions.open(newline="") as file:
        wrong = [row for row in csv.DictReader(file) if row["label"] != row["int8_label"]]
    worst = max(wrong, key=lambda row: float(row["int8_confidence"]))
    assert (photos[0]["data-true"], photos[0]["data-predicted"]) == tuple(
        str(CLASSES.index(worst[name])) for name in ("label", "int8_label")
    )
    assert sum(mistaken) == len(wrong)


def test_validation_photos_used_for_training_are_not_shown(classified):
    folder, outputs, _ = classified
    metrics = page.read_metrics(outputs)
    metrics["scores"].pop("validation")
    rows = [row for row in tables(outputs)[1] if row["split"] == "holdout"]
    values = page.context(outputs, metrics, tables(outputs)[0], rows, reading.read(folder / "data"))
    assert {picture.entry.split for picture in values["pictures"]} == {"holdout"} and values["photos"] == 12


def test_detection_photos_show_missed_objects_and_false_positives(detected):
    outputs, shown = detected
    photos = [element for element in shown.all("figure") if "data-kinds" in element]
    assert len(photos) == 12 + 6
    kinds = [set(photo["data-kinds"].split()) for photo in photos]
    assert {"missed", "wrong"} <= kinds[0] and kinds[-1] == {"right"}
    assert sum("none" in photo["data-true"].split() for photo in photos) == 2
    score = json.loads(outputs.metrics.read_text())["scores"]["holdout"]["tflm_int8"]["f1"]
    assert f"F1 {score:.3f} on 6 test photos" in shown.words
    assert "background" in shown.words and "Precision and recall by confidence threshold" in shown.words


@pytest.mark.parametrize("run", ["classified", "detected"])
def test_page_loads_nothing(run, request):
    shown = request.getfixturevalue(run)[-1]
    for tag, attributes in shown.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            address = attributes.get(name, "")
            assert tag in ("script",) or not address or address.startswith(("data:", "#")), (tag, address)
    policy = next(meta["content"] for meta in shown.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("run", ["classified", "detected"])
def test_images_and_charts_have_descriptions_and_ids_are_unique(run, request):
    shown = request.getfixturevalue(run)[-1]
    assert all(image["alt"] for image in shown.all("img"))
    charts = [svg for svg in shown.all("svg") if "chart" in svg.get("class", "")]
    assert len(charts) >= 7 and all(svg["role"] == "img" and svg["aria-label"] for svg in charts)
    ids = [attributes["id"] for _, attributes in shown.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_install_steps_name_the_library(classified):
    _, outputs, shown = classified
    assert "--name squares --out squares.zip" in shown.words
    (outputs.directory / "squares.zip").write_bytes(b"")
    values = page.context(outputs, page.read_metrics(outputs), *tables(outputs), None)
    (outputs.directory / "squares.zip").unlink()
    assert values["has_zip"]


def test_install_steps_name_tflm_if_the_model_cannot_be_streamed(classified, tmp_path):
    folder, outputs, with_stream = classified
    assert "--runtime tflm" not in with_stream.words
    again = Outputs(shutil.copytree(outputs.directory, tmp_path / "out"))
    metrics = json.loads(again.metrics.read_text())
    metrics["footprint"]["stream"] = None
    again.metrics.write_text(json.dumps(metrics))
    page.write(again, reading.read(folder / "data"))
    assert "--out squares.zip --runtime tflm" in Page(again.report.read_text(encoding="utf-8")).words


def tables(outputs):
    return [list(csv.DictReader(path.open(newline=""))) for path in (outputs.history, outputs.predictions)]


def test_same_results_give_the_same_page(classified):
    folder, outputs, _ = classified
    before = outputs.report.read_bytes()
    page.write(outputs, reading.read(folder / "data"))
    assert outputs.report.read_bytes() == before


def test_report_without_data_has_everything_except_photos(classified):
    folder, outputs, with_photos = classified
    result = CliRunner().invoke(block, ["report", str(outputs.directory)])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Wrote {outputs.report} (")
    shown = Page(outputs.report.read_text(encoding="utf-8"))
    assert shown.all("img") == [] and shown.all("script") == []
    assert len(shown.all("svg")) == len(with_photos.all("svg"))
    again = CliRunner().invoke(block, ["report", str(outputs.directory), "--data-directory", str(folder / "data")])
    assert again.exit_code == 0 and len(Page(outputs.report.read_text(encoding="utf-8")).all("img")) == 32


def test_other_data_and_missing_results_give_a_short_error(classified, tmp_path):
    _, outputs, _ = classified
    other = write_arrays(tmp_path / "other", images=33)
    refused = CliRunner().invoke(block, ["report", str(outputs.directory), "--data-directory", str(other)])
    assert refused.exit_code == 1 and "is not the data that the run in" in refused.stderr
    missing = CliRunner().invoke(block, ["report", str(tmp_path)])
    assert missing.exit_code == 1 and "metrics.json does not exist" in missing.stderr
    (tmp_path / "metrics.json").write_text('{"version": 0}')
    assert "has version 0, but version 1 is needed" in CliRunner().invoke(block, ["report", str(tmp_path)]).stderr


def test_class_names_are_escaped(tmp_path):
    classes = ("<script>alert(1)</script>", 'a "quoted" & $name$', "日本 \U0001f34c")
    outputs = classification_run(tmp_path, images=30, classes=classes)
    page.write(outputs, reading.read(tmp_path / "data"))
    shown = Page(outputs.report.read_text(encoding="utf-8"))
    assert len(shown.all("script")) == 1 and all(name in "".join(shown.text) for name in classes)


def test_failing_report_is_a_warning_with_the_command_to_try_again(classified, monkeypatch, capsys):
    folder, outputs, _ = classified

    def broken(*_):
        raise ValueError("no ink\nleft")

    monkeypatch.setattr(page, "write", broken)
    data = reading.read(folder / "data")
    package.write_report(Run(None, outputs, data, debug=False), console.Stages([package.REPORT]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("[1/1] report  failed")
    assert (
        lines[1]
        == "Warning: all results except report.html are complete, but writing it failed: ValueError: no ink left"
    )
    assert lines[2].endswith(f"-m block report {outputs.directory} --data-directory {data.directory}")


def test_page_size_is_limited_with_many_photos(tmp_path):
    outputs = classification_run(tmp_path, images=1500)
    page.write(outputs, reading.read(tmp_path / "data"))
    assert outputs.report.stat().st_size < 3_000_000
    shown = Page(outputs.report.read_text(encoding="utf-8"))
    assert "The page shows 300 of 512 photos; more would make it too large." in shown.words
    assert len(shown.all("img")) == 300


def test_page_size_is_limited_with_large_photos(tmp_path):
    outputs = classification_run(tmp_path, images=60, size=320, holdout=60)
    page.write(outputs, reading.read(tmp_path / "data"))
    shown = Page(outputs.report.read_text(encoding="utf-8"))
    assert outputs.report.stat().st_size < 3_000_000
    assert 0 < len(shown.all("img")) < 80


def test_photos_are_read_a_few_at_a_time(tmp_path):
    outputs = classification_run(tmp_path, images=1500, holdout=300)
    data = reading.read(tmp_path / "data")
    with outputs.predictions.open(newline="") as file:
        entries = gallery.entries(list(csv.DictReader(file)), data, ["validation", "holdout"], 0.6)
    tracemalloc.start()
    data_checks.photo_warnings(data)
    assert len(list(gallery.pictures(entries, data))) == 300
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    arrays_bytes = sum(split.features.nbytes for split in data.splits.values())
    assert arrays_bytes > 60e6 > 2 * peak_bytes


# --- warnings about the data ----------------------------------------------------------------------------------


def warnings_for(folder, change):
    write_arrays(folder, images=30, holdout=6)
    arrays = {name: np.load(folder / f"X_{name}.npy") for name in ("split_train", "split_test", "holdout")}
    change(arrays)
    for name, array in arrays.items():
        np.save(folder / f"X_{name}.npy", array)
    return data_checks.photo_warnings(reading.read(folder))


def test_good_photos_give_no_warning(tmp_path):
    assert warnings_for(tmp_path, lambda _: None) == []


def test_near_duplicates_in_two_splits_are_a_leak(tmp_path):
    def leak(arrays):
        noise = np.random.default_rng(1).normal(0, 0.01, arrays["split_train"][4].shape)
        arrays["holdout"][2] = np.clip(arrays["split_train"][4] * 0.99 + noise, 0, 1)

    leaked = "1 test photo is nearly identical to a training photo: holdout-2 ≈ train-4."
    assert warnings_for(tmp_path, leak)[0].startswith(leaked)


def test_near_duplicates_with_different_labels_give_a_warning(tmp_path):
    def twice(arrays):
        arrays["split_train"][4] = arrays["split_train"][0]

    found = warnings_for(tmp_path, twice)
    assert found == [
        "1 photo is nearly identical to a photo with another label: train-4 ≈ train-0.",
        "1 training photo is nearly identical to another training photo: train-4 ≈ train-0.",
    ]


def test_blank_photos_are_not_near_duplicates(tmp_path):
    def blank(arrays):
        arrays["split_train"][:2] = 0.5
        arrays["holdout"][0] = 0.5

    assert warnings_for(tmp_path, blank) == ["3 photos are almost a single colour: train-0, train-1, holdout-0."]


def test_many_near_duplicates_give_one_short_warning_per_problem(tmp_path):
    def same(arrays):
        for array in arrays.values():
            array[:] = arrays["split_train"][0]

    found = warnings_for(tmp_path, same)
    assert found[0].startswith(
        "10 validation photos are nearly identical to a training photo: validation-0 ≈ train-0, "
    )
    assert len(found) == 7 and all(len(line) < 300 for line in found)


def test_different_photos_of_one_fruit_are_not_near_duplicates(shared_data, tmp_path):
    from block.photos.prepare import prepare
    from block.settings import PhotoSettings

    prepare(shared_data / "fruit" / "test", tmp_path, PhotoSettings(labels_from="name"), seed=1)
    data = reading.read(tmp_path)
    assert data_checks.photo_warnings(data) == []


def test_small_and_unbalanced_classes_give_warnings():
    counts = {"train": {"cat": 200, "dog": 12}, "validation": {"cat": 40, "dog": 3}}
    few, thin, imbalance, no_test = data_checks.count_warnings(counts, "photo")
    assert few.startswith("There are few training photos of dog (12).")
    assert thin.startswith("There are few validation photos of dog (3).")
    assert "200 photos of cat but 12 of dog" in imbalance and no_test.startswith("There are no test photos.")
    plenty = {split: {"cat": 50, "dog": 60} for split in ("train", "validation", "holdout")}
    assert data_checks.count_warnings(plenty, "photo") == []
