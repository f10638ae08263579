import json
import shutil

import pytest
from click.testing import CliRunner

from block import __main__ as commands
from block import studio
from block.errors import BlockError

CONFIG = '{"version": 2, "config": {"edgeimpulse.com": {"organizationId": 1, "id": 2}}}'


@pytest.fixture
def project(tmp_path):
    # a small project of the same form as this one, so that no test depends on what lies in weights/
    root = tmp_path / "project"
    for folder in ("block/__pycache__", "block/data", "weights", "variants/fomo", "tests"):
        (root / folder).mkdir(parents=True)
    (root / "Dockerfile").write_text(
        "FROM python\nCOPY train.py parameters.json ./\nCOPY weights/ weights/\nCOPY block/ block/\n"
    )
    (root / ".dockerignore").write_text("tests\n**/__pycache__\n**/*.pyc\n")
    (root / "parameters.json").write_text('{"info": {"operatesOn": "image"}}')
    (root / "variants/fomo/parameters.json").write_text('{"info": {"operatesOn": "object_detection"}}')
    for name in (
        "train.py",
        "block/data/reading.py",
        "block/__pycache__/a.pyc",
        "tests/test_a.py",
        "weights/README.md",
    ):
        (root / name).write_text(name)
    return root


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refusal(out, project):
    with pytest.raises(BlockError) as error:
        studio.write_folder(out, "classification", project)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_the_folder_holds_exactly_what_the_image_is_built_from(project, tmp_path):
    studio.write_folder(tmp_path / "out", "classification", project)
    assert names(tmp_path / "out") == {
        *("Dockerfile", ".dockerignore", "parameters.json", "train.py", "weights/README.md", "block/data/reading.py")
    }


@pytest.mark.parametrize(("task", "kind"), [("classification", "image"), ("detection", "object_detection")])
def test_the_parameters_are_those_of_the_task(project, tmp_path, task, kind):
    studio.write_folder(tmp_path / "out", task, project)
    assert json.loads((tmp_path / "out/parameters.json").read_text())["info"]["operatesOn"] == kind


def test_imagenet_weights_are_copied_and_named(project, tmp_path):
    (project / "weights/mobilenetv2_035_features7.pt").write_bytes(b"weights")
    written = studio.write_folder(tmp_path / "out", "classification", project)
    assert written.weights == ("mobilenetv2_035_features7.pt",)
    assert (tmp_path / "out/weights/mobilenetv2_035_features7.pt").read_bytes() == b"weights"


def test_files_and_bytes_are_counted(project, tmp_path):
    written = studio.write_folder(tmp_path / "out", "classification", project)
    sizes = [path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert (written.files, written.size_bytes) == (len(sizes), sum(sizes))


def test_a_second_call_replaces_the_files_and_keeps_the_clients(project, tmp_path):
    out = tmp_path / "out"
    assert not studio.write_folder(out, "classification", project).has_config
    (out / ".ei-block-config").write_text(CONFIG)
    (out / "data").mkdir()
    (out / "data/X_split_train.npy").write_bytes(b"x")
    (out / "block/removed.py").write_text("of an older version")
    (out / "parameters.json").write_text("as init rewrote it")
    assert studio.write_folder(out, "detection", project).has_config
    assert (out / ".ei-block-config").read_text() == CONFIG
    assert (out / "data/X_split_train.npy").exists()
    assert not (out / "block/removed.py").exists()
    assert json.loads((out / "parameters.json").read_text())["info"]["operatesOn"] == "object_detection"


def test_a_folder_with_other_files_is_refused_and_left_alone(project, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    assert "holds thesis.tex, which this command does not write" in refusal(out, project)
    assert names(out) == {"thesis.tex"}


def test_a_folder_with_a_part_of_the_block_is_refused(project, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.py").write_text("of another program")
    assert ".dockerignore of an earlier block is missing" in refusal(out, project)
    assert (out / "train.py").read_text() == "of another program"


@pytest.mark.parametrize("inside", [".", "out", "block/out"])
def test_a_folder_in_the_project_is_refused(project, inside):
    before = names(project)
    assert "lies in the project's folder" in refusal(project / inside, project)
    assert names(project) == before


def test_a_link_into_the_project_is_refused(project, tmp_path):
    (tmp_path / "link").symlink_to(project)
    assert "lies in the project's folder" in refusal(tmp_path / "link" / "out", project)


def test_a_project_without_its_dockerfile_is_named(project, tmp_path):
    (project / "Dockerfile").unlink()
    assert "Dockerfile is missing" in refusal(tmp_path / "out", project)


def test_a_file_that_the_dockerfile_copies_and_nobody_has_is_named(project, tmp_path):
    shutil.rmtree(project / "weights")
    assert "weights is missing" in refusal(tmp_path / "out", project)


def test_a_file_in_place_of_the_folder_is_refused(project, tmp_path):
    (tmp_path / "out").write_text("")
    assert "File exists" in refusal(tmp_path / "out", project)


def run_command(monkeypatch, project, *arguments):
    monkeypatch.setattr(studio.write_folder, "__defaults__", (project,))
    result = CliRunner().invoke(commands.block, ["studio", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_the_command_says_what_to_type_next(monkeypatch, project, tmp_path):
    out = tmp_path / "a block"
    lines = run_command(monkeypatch, project, "--task", "detection", "--out", out)
    assert lines[-1] == f"Next: cd '{out}' && edge-impulse-blocks init && edge-impulse-blocks push"
    (out / ".ei-block-config").write_text(CONFIG)
    lines = run_command(monkeypatch, project, "--task", "detection", "--out", out)
    assert lines[-1] == f"Next: cd '{out}' && edge-impulse-blocks push"


def test_the_command_warns_when_no_imagenet_weights_lie_there(monkeypatch, project, tmp_path):
    lines = run_command(monkeypatch, project, "--task", "detection", "--out", tmp_path / "out")
    assert lines[0].startswith("Warning: No ImageNet weights lie in weights/.")
    assert "-m block weights --width 0.35 --width 0.5 --width 0.75 --width 1.0" in lines[1]
    (project / "weights/mobilenetv2_035_features7.pt").write_bytes(b"weights")
    assert len(run_command(monkeypatch, project, "--task", "detection", "--out", tmp_path / "other")) == 2
