"""Bodies of answers are kept, the last ones, up to a size together."""

import pytest

from accounting.api.bodies import Bodies


def test_the_last_bodies_are_written_once() -> None:
    written: list[str] = []

    def asked(bodies: Bodies, key: str, size: int = 4) -> None:
        def write() -> bytes:
            written.append(key)
            return key.encode() * size

        assert bodies.get(key, write) == key.encode() * size

    bodies = Bodies(most_bytes=10)
    for key in "abacab":  # the third is one too many
        asked(bodies, key)
    assert "".join(written) == "abcb", "b was asked longest ago"
    asked(bodies, "d", size=11)
    for key in "adb":
        asked(bodies, key, size=11 if key == "d" else 4)
    assert "".join(written) == "abcbdd", "what is larger than all may be is not kept"


def test_what_fails_is_tried_again() -> None:
    def fail() -> bytes:
        raise ValueError("as it was")

    bodies = Bodies()
    with pytest.raises(ValueError, match="as it was"):
        bodies.get("key", fail)
    assert bodies.get("key", lambda: b"now") == b"now"
