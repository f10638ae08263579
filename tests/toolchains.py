"""Skips tests whose programs are missing. If REQUIRE_TOOLCHAINS is set, these tests run and fail instead."""

import os
import shutil

import pytest


def need(programs, packages):
    """Skips the test if a program is missing. `packages` are the Debian packages that the message names."""
    _skip_without([program for program in programs if shutil.which(program) is None], packages)


def host_compiler(name):
    """Returns the command `name` of a compiler for this machine. Skips the test if it is missing."""
    need([name], {"clang++": "clang"}.get(name, name))
    return name


def toolchain(name):
    """Returns a target of esp32_deploy.verify.simulate. Skips the test if its programs or its C library are missing."""
    from esp32_deploy.verify.simulate import TARGETS

    target = TARGETS[name]
    _skip_without(target.missing, target.packages)
    return target


def _skip_without(missing, packages):
    if missing and not os.environ.get("REQUIRE_TOOLCHAINS"):
        pytest.skip(f"missing: {' and '.join(missing)}; on Debian install {packages}")
