"""Makes torchvision importable where its native operators do not match the torch that is installed.

A torchvision built for CUDA beside a CPU-only torch stops at import with "operator torchvision::nms does not
exist". Nothing here calls that operator: declaring its schema, and qnms's, is all that the import needs.
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

# the declarations hold as long as this object lives
_declared: list[torch.library.Library] = []


def import_transforms() -> ModuleType:
    """torchvision.transforms.v2, with the missing schemas declared only if the plain import fails for want of them."""
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
