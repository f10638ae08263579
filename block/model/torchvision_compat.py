"""Makes torchvision importable if its native operators do not match the installed torch.

A torchvision for CUDA beside a CPU-only torch fails at import with "operator torchvision::nms does not exist". This
project never calls that operator. The import only needs the schemas of nms and qnms, which this module declares.
"""

import importlib
import sys
from types import ModuleType

import torch

MISSING_OPERATOR = "operator torchvision::nms does not exist"
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# a declaration lasts as long as its library object exists
_declared: list[torch.library.Library] = []


def import_transforms() -> ModuleType:
    """Imports torchvision.transforms.v2. Declares the schemas only if the plain import fails without them."""
    try:
        return importlib.import_module("torchvision.transforms.v2")
    except RuntimeError as error:
        if MISSING_OPERATOR not in str(error):
            raise
    _forget_half_imported_modules()
    _declare_schemas()
    return importlib.import_module("torchvision.transforms.v2")


def _forget_half_imported_modules() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def _declare_schemas() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _declared.append(library)
