"""What is wrong with a parameter, in our words instead of pydantic's."""

from collections.abc import Callable, Mapping
from typing import Any

_SAID: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "is missing",
    "int_parsing": lambda _: "is not a whole number",
    "int_parsing_size": lambda _: "is too large a number",
    "int_from_float": lambda _: "is not a whole number",
    "bool_parsing": lambda _: "is neither true nor false",
    "enum": lambda limits: f"is not one of {_listed(limits['expected'])}",
    "literal_error": lambda limits: f"is not one of {_listed(limits['expected'])}",
    "greater_than_equal": lambda limits: f"is less than {limits['ge']}",
    "less_than_equal": lambda limits: f"is more than {limits['le']}",
    "string_too_long": lambda limits: f"is longer than {limits['max_length']:,} characters",
    "too_long": lambda limits: f"is longer than {limits['max_length']:,} characters",
    "string_too_short": lambda limits: (
        "is empty" if limits["min_length"] == 1 else f"is shorter than {limits['min_length']}"
    ),
    "string_pattern_mismatch": lambda limits: f"does not match {limits['pattern']}",
}


def problem_of(error: Mapping[str, Any]) -> str:
    """What is wrong, to be read after the parameter's name.

    Args:
        error: one of pydantic's, as ``RequestValidationError.errors`` gives them.
    """
    said = _SAID.get(error["type"])
    if said is not None:
        return said(error.get("ctx") or {})
    return str(error["msg"]).removeprefix("Value error, ")


def _listed(expected: str) -> str:
    """``'a', 'b' or 'c'`` → ``a, b or c``; an empty choice stays visible."""
    return expected.replace("''", '""').replace("'", "")
