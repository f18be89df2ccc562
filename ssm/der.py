"""DER, read just far enough to verify a signature that this package has written.

Definite lengths and low tag numbers only, as ITU-T X.690 prescribes for DER; anything else, and
anything that does not fit its surroundings, is an error.
"""

from dataclasses import dataclass

SEQUENCE, SET, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING = 0x30, 0x31, 0x02, 0x06, 0x04
CONTEXT_0 = 0xA0

_LONG_FORM = 0x80
_HIGH_TAG = 0x1F
_MAX_LENGTH_BYTES = 4


class MalformedDer(ValueError):
    """The bytes are not the DER that was expected."""


@dataclass(frozen=True)
class Element:
    """One tag-length-value: `tag` byte, `value` bytes, and `raw`, the whole encoding."""

    tag: int
    value: bytes
    raw: bytes

    def children(self) -> list["Element"]:
        """The elements that fill this one's value, in order."""
        return read_all(self.value)

    def expect(self, tag: int) -> "Element":
        """This element, if it has that tag.

        Raises:
            MalformedDer: if it has another.
        """
        if self.tag != tag:
            raise MalformedDer(f"tag {self.tag:#04x} where {tag:#04x} was expected")
        return self


def read_all(data: bytes) -> list[Element]:
    """All elements of `data`, in order.

    Raises:
        MalformedDer: `data` is not a whole number of DER elements.
    """
    elements = []
    start = 0
    while start < len(data):
        element = _read_one(data, start)
        elements.append(element)
        start += len(element.raw)
    return elements


def _read_one(data: bytes, start: int) -> Element:
    header = start + 2
    if header > len(data) or data[start] & _HIGH_TAG == _HIGH_TAG:
        raise MalformedDer("no tag and length")
    length = data[start + 1]
    if length & _LONG_FORM:
        count = length & ~_LONG_FORM
        if not 0 < count <= _MAX_LENGTH_BYTES:
            raise MalformedDer("indefinite or oversized length")
        length = int.from_bytes(data[header : header + count])
        header += count
    end = header + length
    if end > len(data):
        raise MalformedDer("an element ends beyond its data")
    return Element(tag=data[start], value=data[header:end], raw=data[start:end])
