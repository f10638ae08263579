"""Compiles generated C++ for this machine or an emulated processor and runs it, for `verify` and for the tests.

The targets are the host, rv32imc (the ESP32-C3's instruction set) and Xtensa lx106 (the ESP32's family). Debian has
packages for all of them. The emulators count instructions exactly, regardless of the load on this machine.
"""

import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from esp32_deploy.compile.compiler import Compiled
from esp32_deploy.compile.emit import Source
from esp32_deploy.errors import DeployError
from esp32_deploy.pixels import bytes_from_int8, int8_from_bytes

TARGETS_FOLDER = Path(__file__).resolve().parents[1] / "targets"
PICOLIBC_SPECS = Path("/usr/lib/picolibc/riscv64-unknown-elf/picolibc.specs")

# Warnings that a user's compiler may have switched on. They apply to the generated model only.
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
# The optimization level of Arduino.
OPTIMIZATION = "-Os"

# Headers that the generated model and the harness include.
NEEDED_HEADERS = "#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n"

RUN_SECONDS = 1800
COMPILE_SECONDS = 300


class SimulationError(DeployError):
    """A tool is missing, the C++ does not compile, or the program fails."""


@dataclass(frozen=True)
class Target:
    """A processor: its compiler with flags, link flags, the command that runs a program, and Debian's packages.

    Packages of emulators are named after their programs, because the real packages differ between releases.

    `counts`: the target measures instructions and stack.
    """

    name: str
    compiler: str
    flags: tuple[str, ...]
    link_flags: tuple[str, ...]
    runner: tuple[str, ...]
    packages: str
    counts: bool = True

    @property
    def missing(self) -> list[str]:
        """What this machine lacks: names of programs, or the C library of the compiler."""
        needed = (self.compiler, self.size, *self.runner[:1])
        programs = [program for program in needed if shutil.which(program) is None]
        return programs or ([] if self._finds_headers() else [f"C++ or the C library of {self.compiler}"])

    @property
    def size(self) -> str:
        """The program that tells the sizes of an object file. It comes with the compiler."""
        return self.compiler.removesuffix("gcc") + "size"

    @property
    def install(self) -> str:
        """The command that installs all that the target needs, on Debian and Ubuntu."""
        return f"apt-get install {self.packages}"

    def _finds_headers(self) -> bool:
        # Debian has separate packages for a cross compiler and its C library.
        command = [self.compiler, *self.flags, "-fsyntax-only", "-x", "c++", "-"]
        return subprocess.run(command, input=NEEDED_HEADERS, capture_output=True, text=True).returncode == 0


TARGETS = {
    "host": Target("host", "gcc", (), (), (), "g++", counts=False),
    "rv32": Target(
        "rv32",
        "riscv64-unknown-elf-gcc",
        ("-march=rv32imc", "-mabi=ilp32", f"--specs={PICOLIBC_SPECS}"),
        (
            *("--oslib=semihost", "--crt0=hosted"),
            *("-Wl,--defsym=__flash=0x80000000", "-Wl,--defsym=__flash_size=0x4000000"),
            *("-Wl,--defsym=__ram=0x84000000", "-Wl,--defsym=__ram_size=0x200000"),
        ),
        (
            *("qemu-system-riscv32", "-M", "virt", "-bios", "none", "-nographic", "-monitor", "none"),
            *("-serial", "null", "-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel"),
        ),
        "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-riscv32",
    ),
    "xtensa": Target(
        "xtensa",
        "xtensa-lx106-elf-gcc",
        ("-mlongcalls",),
        ("-nostdlib", "-T", str(TARGETS_FOLDER / "xtensa.ld"), "-Wl,--start-group", "-lgcc", "-Wl,--end-group"),
        (
            *("qemu-system-xtensa", "-M", "sim", "-cpu", "lx106", "-semihosting", "-display", "none"),
            *("-monitor", "none", "-serial", "stdio", "-icount", "shift=0", "-kernel"),
        ),
        "gcc-xtensa-lx106 binutils-xtensa-lx106 picolibc-xtensa-lx106-elf qemu-system-xtensa",
    ),
}


@dataclass(frozen=True)
class Simulation:
    """Outputs of a model on a target, and its costs: the maximum over the inputs, None if the target does not count."""

    outputs: np.ndarray
    """(inputs, height, width, channels) int8."""
    instructions: int | None
    stack_bytes: int | None
    static_bytes: int
    """RAM of rows, of the model's object, and of the compiled model's own data."""
    flash_bytes: int
    """Code and constants of the compiled model."""

    @property
    def ram_bytes(self) -> int:
        """Static data and stack: all RAM except the frame."""
        return self.static_bytes + (self.stack_bytes or 0)


def simulate(
    compiled: Compiled,
    inputs: np.ndarray,
    target: Target,
    folder: Path,
    flags: tuple[str, ...] = (),
) -> Simulation:
    """Compiles a model in `folder` and runs it on int8 inputs (N, height, width, channels).

    `flags` are passed to the compiler for the model and for the program. Raises SimulationError.
    """
    check_tools(target)
    name, schedule = compiled.name, compiled.schedule
    write_source(compiled.source, folder)
    model = compile_model(name, target, folder, flags)
    flash_bytes, data_bytes = object_sizes(model, target)
    inputs_path = folder / "inputs.bin"
    inputs_path.write_bytes(bytes_from_int8(inputs).tobytes())
    program = folder / f"program_{target.name}"
    harness = (
        *(f"-DHARNESS_NAMESPACE={name}", f'-DHARNESS_HEADER="{name}_model.h"'),
        *(f'-DHARNESS_INPUTS="{inputs_path}"', f"-DHARNESS_COUNT={len(inputs)}"),
    )
    sources = (str(TARGETS_FOLDER / "harness.cpp"), str(TARGETS_FOLDER / f"{target.name}.cpp"), str(model))
    _compile(target, (*flags, "-O1", *harness, *sources, *target.link_flags, "-o", str(program)), folder)
    lines = _execute((*target.runner, str(program)))
    plane = schedule.program.planes[schedule.program.output]
    outputs = np.frombuffer(bytes.fromhex("".join(lines.get("output", []))), np.uint8)
    shape = (len(inputs), plane.height, plane.width, plane.channels)
    if outputs.size != np.prod(shape):
        raise SimulationError(f"The model gave {outputs.size} bytes on {target.name}. {np.prod(shape)} were expected.")
    return Simulation(
        outputs=int8_from_bytes(outputs).reshape(shape),
        instructions=max(map(int, lines["instructions"])) if target.counts else None,
        stack_bytes=max(map(int, lines["stack"])) if target.counts else None,
        static_bytes=schedule.bytes + int(lines["object"][0]) + data_bytes,
        flash_bytes=flash_bytes,
    )


def check_tools(target: Target) -> None:
    """Raises SimulationError, which names the packages to install, if this machine lacks a tool of the target."""
    missing = target.missing
    if missing:
        others = " or ".join(f"--target {name}" for name in TARGETS if name != target.name)
        raise SimulationError(
            f"Target {target.name} lacks {' and '.join(missing)}. On Debian or Ubuntu, run: sudo {target.install}. Or "
            f"choose {others}."
        )


@dataclass(frozen=True)
class Verification:
    """How many inputs gave identical bytes, and the model's costs; None if the target does not count them."""

    target: str
    inputs: int
    identical: int
    distinct_outputs: int
    first_difference: int | None
    """The index of the first input whose output differs, or None."""
    instructions: int | None
    """The maximum over the inputs."""
    ram_bytes: int
    stack_bytes: int | None
    flash_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain values for JSON."""
        return asdict(self)


def verify(compiled: Compiled, images: np.ndarray, expected: np.ndarray, target: Target) -> Verification:
    """Runs int8 images (N, height, width, channels) and compares the outputs with `expected`, TensorFlow Lite Micro's.

    Raises SimulationError.
    """
    expected = expected.reshape(len(images), -1)
    with TemporaryDirectory() as folder:
        simulated = simulate(compiled, images, target, Path(folder))
    same = (simulated.outputs.reshape(len(images), -1) == expected).all(axis=1)
    return Verification(
        target=target.name,
        inputs=len(images),
        identical=int(same.sum()),
        distinct_outputs=len(np.unique(expected, axis=0)),
        first_difference=None if same.all() else int(np.flatnonzero(~same)[0]),
        instructions=simulated.instructions,
        ram_bytes=simulated.ram_bytes,
        stack_bytes=simulated.stack_bytes,
        flash_bytes=simulated.flash_bytes,
    )


def write_source(source: Source, folder: Path) -> None:
    """Writes the generated files with the layout of a library's src folder."""
    for path, text in source.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def compile_model(name: str, target: Target, folder: Path, flags: tuple[str, ...] = ()) -> Path:
    """Compiles only the generated model, with warnings as errors, and returns the path of the object file."""
    result = folder / f"model_{target.name}.o"
    _compile(target, (OPTIMIZATION, *WARNINGS, *flags, "-c", f"{name}_model.cpp", "-o", str(result)), folder)
    return result


def object_sizes(path: Path, target: Target) -> tuple[int, int]:
    """Bytes of flash (code and constants) and of RAM in an object file."""
    output = subprocess.run([target.size, str(path)], check=True, capture_output=True, text=True).stdout
    text, data, bss = map(int, output.splitlines()[1].split()[:3])
    return text + data, data + bss


def _compile(target: Target, arguments: tuple[str, ...], folder: Path) -> None:
    command = (target.compiler, "-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", *target.flags)
    include = (f"-I{folder}", f"-I{TARGETS_FOLDER}")
    try:
        subprocess.run(
            [*command, *include, *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=COMPILE_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise SimulationError(f"{target.compiler} cannot compile the generated C++:\n{error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise SimulationError(f"{target.compiler} took longer than {COMPILE_SECONDS} s.") from error


def _execute(command: tuple[str, ...]) -> dict[str, list[str]]:
    """Runs a program and returns the rest of each output line, by its first word."""
    try:
        done = subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # semihosting prints to standard error
            text=True,
            timeout=RUN_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise SimulationError(f"The model failed: {error.stdout.strip()[-2000:]}") from error
    except subprocess.TimeoutExpired as error:
        raise SimulationError(f"The model ran longer than {RUN_SECONDS} s.") from error
    lines: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        lines.setdefault(word, []).append(rest)
    return lines
