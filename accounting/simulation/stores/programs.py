"""The programs that the simulation starts, and where to get them."""

import shutil

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "victoria-metrics": "victoria-metrics",
}


class ProgramMissingError(RuntimeError):
    """A program is not on PATH; the message names the Debian package that has it."""


class ProgramError(RuntimeError):
    """A program ended or did not answer; the message has the end of its output."""


def find_program(name: str) -> str:
    """The program's path."""
    found = shutil.which(name)
    if found is None:
        package = PACKAGES.get(name, name)
        raise ProgramMissingError(
            f"{name} is not installed; on Debian or Ubuntu: apt-get install {package}"
        )
    return found
