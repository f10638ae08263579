"""Compiles and runs the programs of tests/drivers: kernels behind a pipe, with sanitizers, for hypothesis tests."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

from toolchains import host_compiler

from esp32_deploy.compile.emit import kernel_files

DRIVERS = Path(__file__).parent / "drivers"
FLAGS = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def compile_driver(name, kernel, folder, compiler="g++", flags=SANITIZERS):
    for path, text in kernel_files([kernel], "fruit").items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    program = folder / name
    command = [host_compiler(compiler), *FLAGS, *flags, f"-I{folder}", str(DRIVERS / f"{name}.cpp"), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@contextmanager
def running(program):
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def ask(request, read):
            process.stdin.write(request)
            process.stdin.flush()
            return read(process.stdout)

        yield ask
        process.stdin.close()
        assert process.wait(10) == 0
