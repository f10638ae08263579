import os
import shutil
import subprocess
import zipfile

import pytest
from shared_data import SHARED_DATA

from esp32_deploy.arduino import library
from esp32_deploy.arduino.boards import BOARDS
from esp32_deploy.manifest import Manifest

CORE = "esp32:esp32"
BOARD_IDS = {"ai-thinker": "esp32cam", "esp-eye": "esp32", "xiao-s3": "XIAO_ESP32S3"}
OPTIONS = {"esp-eye": "PartitionScheme=huge_app,PSRAM=enabled", "xiao-s3": "PSRAM=opi"}
LABELS = {"classifier_035_96": ("apple", "banana", "mixed", "orange"), "fomo_035_96": ("apple", "banana", "orange")}


@pytest.fixture(scope="session")
def arduino():
    """arduino-cli with the esp32 core. Skips if one is missing, or fails if REQUIRE_ARDUINO is 1."""
    reason = None
    if shutil.which("arduino-cli") is None:
        reason = "arduino-cli is missing: see https://arduino.github.io/arduino-cli"
    elif CORE not in subprocess.run(["arduino-cli", "core", "list"], capture_output=True, text=True).stdout:
        reason = f"the esp32 core is missing: arduino-cli core install {CORE}"
    elif not SHARED_DATA.is_dir():
        reason = "the fixture models are not beside the project"
    if reason is not None:
        pytest.fail(reason) if os.environ.get("REQUIRE_ARDUINO") == "1" else pytest.skip(reason)
    return "arduino-cli"


@pytest.mark.parametrize("sketch", ["Camera", "SelfTest"])
@pytest.mark.parametrize("runtime", library.RUNTIMES)
@pytest.mark.parametrize("model", LABELS)
@pytest.mark.parametrize("board", BOARDS)
def test_examples_compile_with_the_esp32_core(arduino, board, model, runtime, sketch, tmp_path):
    manifest = Manifest(name="spotter2", labels=LABELS[model])
    path = SHARED_DATA / "models" / f"{model}.tflite"
    made = library.package(path, tmp_path / "spotter2.zip", manifest, runtime=runtime, board=board)
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(tmp_path)
    unpacked = tmp_path / made.name
    target = ":".join(filter(None, (CORE, BOARD_IDS[board], OPTIONS.get(board))))
    command = [arduino, "compile", "--fqbn", target, "--library", str(unpacked), "--warnings", "all"]
    done = subprocess.run([*command, str(unpacked / "examples" / sketch)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
