"""A model for the interpreter that the esp32 core brings: which operators it registers, and how much memory it gets."""

import math

# one part in so many is added to the arena measured here: kernels differ by processor
ARENA_MARGIN = 8
ARENA_ALIGNMENT_BYTES = 16

# how TensorFlow Lite Micro's resolver calls an operator, where it is not the words of its name
RESOLVER_METHODS = {"BATCH_MATMUL": "AddBatchMatMul", "PADV2": "AddPadV2"}


def resolver_method(operator: str) -> str:
    """What adds an operator to TensorFlow Lite Micro's resolver: CONV_2D is AddConv2D."""
    words = operator.split("_")
    # POOL_2D is Pool2D: a word that begins with a digit keeps its capitals
    joined = "".join(word if word[0].isdigit() else word.capitalize() for word in words)
    return RESOLVER_METHODS.get(operator, f"Add{joined}")


def memory_bytes(arena_bytes: int) -> int:
    """What a board sets aside for an arena of so many bytes here."""
    return math.ceil(arena_bytes * (1 + 1 / ARENA_MARGIN) / ARENA_ALIGNMENT_BYTES) * ARENA_ALIGNMENT_BYTES
