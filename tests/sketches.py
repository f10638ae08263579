"""Compiles a packaged library and its sketches for the host with tests/arduino_stand_ins, and runs them."""

import os
import subprocess
import zipfile
from pathlib import Path

from toolchains import host_compiler

STAND_INS = Path(__file__).parent / "arduino_stand_ins"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
RUN_SECONDS = 120


class CompilerError(Exception):
    """The compiler failed. The text is its output."""


def unpack(zip_path, folder):
    with zipfile.ZipFile(zip_path) as archive:
        archive.extractall(folder)
    return folder / zip_path.stem


# A cache of object files by compiler, flags and preprocessed source, because many tests compile the same network.
compiled = {}


def compile_cpp(path, result, includes, compiler="g++", flags=()):
    command = [host_compiler(compiler), "-std=c++17", "-O1", *WARNINGS, *flags, *(f"-I{folder}" for folder in includes)]
    # Arduino includes Arduino.h in front of a sketch's main file.
    sketch = ["-include", "Arduino.h", "-x", "c++"] if path.suffix == ".ino" else []
    source = output_of([*command, "-E", "-P", *sketch, str(path)])
    key = (compiler, *(flag for flag in flags if not flag.startswith("-D")), source)
    if key not in compiled:
        output_of([*command, "-c", *sketch, str(path), "-o", str(result)])
        compiled[key] = result.read_bytes()
    result.write_bytes(compiled[key])
    return result


def output_of(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CompilerError(done.stderr)
    return done.stdout


def compile_library(library, folder, compiler="g++", flags=SANITIZERS):
    """Compiles the library's sources to object files."""
    includes = (library / "src", STAND_INS)
    return [
        compile_cpp(path, folder / f"{path.stem}.o", includes, compiler, flags)
        for path in sorted((library / "src").glob("*.cpp"))
    ]


def compile_sketch(library, sketch, objects, folder, flags=SANITIZERS):
    """Links a program that runs a sketch. `flags` must be those of the library."""
    ino = library / "examples" / sketch / f"{sketch}.ino"
    includes = (library / "src", STAND_INS)
    parts = [
        compile_cpp(path, folder / f"{sketch}_{path.stem}.o", includes, "g++", flags)
        for path in (ino, STAND_INS / "board.cpp")
    ]
    program = folder / sketch
    subprocess.run(["g++", *flags, *map(str, (*parts, *objects)), "-o", str(program)], check=True)
    return program


def run(program, **scene):
    """The lines that a sketch prints. `scene` sets up the stand-in board: see arduino_stand_ins/board.cpp."""
    environment = os.environ | {name: str(value) for name, value in scene.items()}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=RUN_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()
