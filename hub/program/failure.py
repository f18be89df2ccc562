"""What the package's own programs say when they cannot go on.

::

    Failure                 one clear line: what happened, where, and the cure (exit code 1)
    └── WrongSetting        a setting is missing or wrong (exit code 2)
"""

from typing import ClassVar


class Failure(Exception):
    """What happened and what to do about it.

    Args:
        message: what happened and where, one line, without secrets or user names.
        cure: what the operator does next, one line.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message, cure)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} → {self.cure}"


class WrongSetting(Failure):
    """A setting is missing or wrong; names the setting and gives an example."""

    exit_code = 2
