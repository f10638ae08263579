"""The route into Studio with Edge Impulse's own client; Studio is a stand-in on 127.0.0.1."""

import io
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from drawn_arrays import CLASSES, write_arrays, write_box_arrays
from studio_stand_in import BUILD_LOG, HOST, ORGANIZATION, PROJECT, Studio, studio_stand_in

from block import studio
from block.data import reading

CLIENT = "edge-impulse-blocks"
ROOT = Path(__file__).resolve().parents[1]
ARCHIVE_LIMIT_BYTES = 2_000_000
TIMEOUT_SECONDS = 60


@dataclass
class Client:
    """Edge Impulse's client in the folder of a block, logged in."""

    folder: Path
    home: Path

    def run(self, *arguments, answer="", expected=0):
        """Runs a command, which ends early when it asks more than `answer` has lines; returns what it printed."""
        done = subprocess.run(
            [CLIENT, *arguments],
            cwd=self.folder,
            env=os.environ | {"HOME": str(self.home), "EI_HOST": HOST},
            input=answer,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == expected, printed
        return printed


@dataclass
class Route:
    """A block that was initialized, pushed and given a project's data to try it on."""

    task: str
    folder: Path
    server: Studio
    client: Client
    printed: dict
    archive: bytes
    """What the first push sent: a .tar.gz."""


@pytest.fixture(scope="module")
def server():
    # CI installs no client, so REQUIRE_TOOLCHAINS does not ask for it
    if shutil.which(CLIENT) is None:
        pytest.skip(f"{CLIENT} missing; Edge Impulse's npm package edge-impulse-cli has it")
    try:
        with studio_stand_in() as server:
            yield server
    except OSError as error:
        pytest.skip(f"the client's port cannot be used: {error}")


@pytest.fixture(scope="module", params=studio.PARAMETERS)
def route(request, server, tmp_path_factory):
    place = tmp_path_factory.mktemp(request.param)
    home, arrays = place / "home", place / "arrays"
    home.mkdir()
    arrays.mkdir()
    # as the client leaves it after a login and the choice of a project
    login = {"host": HOST, "jwtToken": "token", "runner": {"projectId": PROJECT}}
    (home / "edge-impulse-config.json").write_text(json.dumps(login))
    studio.write_folder(place / "block", request.param)
    client = Client(place / "block", home)
    server.set_project_data(write_arrays(arrays) if request.param == "classification" else write_box_arrays(arrays))
    commands = {
        "init": ("init", "--create-new-block"),
        "push": ("push",),
        "runner": ("runner", "--download-data", "data"),
    }
    printed = {name: client.run(*arguments) for name, arguments in commands.items()}
    return Route(request.param, place / "block", server, client, printed, server.archives[-1])


def shipped(task):
    return json.loads((ROOT / studio.PARAMETERS[task]).read_text())


def registered(route):
    number = json.loads((route.folder / studio.CONFIG_FILE).read_text())["config"][HOST]["id"]
    return route.server.blocks[number]


def pushed(route):
    with tarfile.open(fileobj=io.BytesIO(route.archive)) as archive:
        return {member.name.removeprefix("./"): member.size for member in archive.getmembers() if member.isfile()}


def test_init_changes_no_parameter(route):
    assert json.loads((route.folder / "parameters.json").read_text()) == shipped(route.task)


def test_init_writes_the_file_that_later_pushes_need(route):
    config = json.loads((route.folder / studio.CONFIG_FILE).read_text())["config"]
    assert config[HOST]["organizationId"] == ORGANIZATION


def test_the_block_is_registered_as_its_parameters_say(route):
    info, block = shipped(route.task)["info"], registered(route)
    for field in ("name", "description", "operatesOn", "imageInputScaling", "indRequiresGpu"):
        assert block[field] == info[field]
    assert block.get("objectDetectionLastLayer") == info.get("objectDetectionLastLayer")
    assert block["parameters"] == shipped(route.task)["parameters"]
    # 1 is the old contract, with other arguments and other files
    assert block["implementationVersion"] == 2


def test_the_archive_holds_what_the_image_is_built_from_and_nothing_else(route):
    expected = {
        path.relative_to(route.folder).as_posix()
        for name in studio.image_sources()
        for path in (route.folder / name, *(route.folder / name).rglob("*"))
        if path.is_file()
    }
    assert pushed(route).keys() == expected - {".dockerignore"}


def test_the_archive_is_small(route):
    weights = sum(size for name, size in pushed(route).items() if name.endswith(".pt"))
    assert sum(pushed(route).values()) - weights < ARCHIVE_LIMIT_BYTES


def test_push_shows_the_log_of_the_build(route):
    assert BUILD_LOG in route.printed["push"]


def test_a_second_push_asks_nothing(route):
    studio.write_folder(route.folder, route.task)
    before = len(route.server.archives)
    route.client.run("push")
    assert len(route.server.archives) == before + 1
    assert registered(route)["parameters"] == shipped(route.task)["parameters"]


def test_a_push_of_other_parameters_asks_before_it_overrides_them(route):
    block = registered(route)
    block["parameters"] = block["parameters"][:1]
    before = len(route.server.archives)
    assert "Do you want to override the parameters?" in route.client.run("push")
    # no answer: no push, and no error either
    assert len(route.server.archives) == before
    route.client.run("push", answer="y\n")
    assert len(route.server.archives) == before + 1
    assert block["parameters"] == shipped(route.task)["parameters"]


def test_init_is_refused_in_a_folder_that_was_initialized(route):
    # why the command names only the push for such a folder
    assert "A block already exists" in route.client.run("init", expected=1)


def test_the_client_has_the_data_scaled_as_the_block_wants_it(route):
    assert {"overrideImageInputScaling": "0..1"} in route.server.exports
    assert "Using image input scaling: 0..1" in route.printed["runner"]


def test_the_downloaded_data_is_read(route):
    data = reading.read(route.folder / "data")
    assert data.task == route.task
    assert data.classes == tuple(CLASSES if route.task == "classification" else CLASSES[:2])


def test_the_client_asks_the_stand_in_nothing_else(route):
    assert route.server.unknown == []
