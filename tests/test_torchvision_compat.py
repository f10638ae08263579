import subprocess
import sys


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_transforms_can_be_imported():
    program = (
        "from block.model.torchvision_compat import import_transforms; import torch;"
        "v2 = import_transforms(); print(v2.RandomHorizontalFlip(1.0)(torch.tensor([[[1, 2]]])).tolist())"
    )
    result = run(program)
    assert result.stdout.strip() == "[[[2, 1]]]", result.stderr


def test_no_schema_is_declared_if_the_native_operators_load():
    program = (
        "import torch\n"
        "library = torch.library.Library('torchvision', 'DEF')\n"
        "library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
        "library.define('qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
        "from block.model import torchvision_compat\n"
        "torchvision_compat.import_transforms()\n"
        "print(len(torchvision_compat._declared))"
    )
    result = run(program)
    assert result.stdout.strip() == "0", result.stderr


def test_other_import_errors_are_raised():
    program = (
        "import sys, types\n"
        "from block.model import torchvision_compat\n"
        "def broken(name):\n"
        "    raise RuntimeError('something else')\n"
        "torchvision_compat.importlib = types.SimpleNamespace(import_module=broken)\n"
        "torchvision_compat.import_transforms()"
    )
    result = run(program)
    assert "RuntimeError: something else" in result.stderr
