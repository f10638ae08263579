"""Programs that a test needs: it skips where they are missing, unless REQUIRE_TOOLCHAINS is set."""

import os
import shutil

import pytest


def need(programs, packages):
    """Skips where a program is missing, unless REQUIRE_TOOLCHAINS is set: then what calls it fails."""
    _skip_without([program for program in programs if shutil.which(program) is None], packages)


def host_compiler(name):
    """A compiler of this machine by the name of its command; skips as `need` does."""
    need([name], {"clang++": "clang"}.get(name, name))
    return name


def toolchain(name):
    """A target of esp32_deploy.verify.simulate; skips as `need` does, for want of the C library too."""
    from esp32_deploy.verify.simulate import TARGETS

    target = TARGETS[name]
    _skip_without(target.missing, target.packages)
    return target


def _skip_without(missing, packages):
    if missing and not os.environ.get("REQUIRE_TOOLCHAINS"):
        pytest.skip(f"{' and '.join(missing)} missing; on Debian install {packages}")
