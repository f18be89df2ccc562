"""Texts of an answer that no database keeps, escaped before anything reads them.

So all that comes of a label is the same in both databases: names, groups, images, nodes.
"""

import json
import re

from accounting.model.texts import fit

# The backslash itself may be escaped: then the text is read, and stays as it is.
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BACKSLASH = ord("\\")


def fitted(content: bytes) -> bytes:
    """JSON whose texts can be kept; the same bytes if all can.

    Only such texts are decoded: an answer may have hundreds of megabytes.
    """
    if b"\\u" not in content:
        return content
    made, done = bytearray(), 0
    for found in _SUSPECT.finditer(content):
        if found.start() < done:
            continue
        begin = _opening(content, found.start())
        text = _TEXT.match(content, begin) if begin >= 0 else None
        if text is None:  # no JSON: whoever decodes it says so
            return content
        try:
            said = fit(json.loads(text[0], strict=False))
        except ValueError:
            return content
        made += content[done:begin]
        made += json.dumps(said, ensure_ascii=False).encode()
        done = text.end()
    return bytes(made + content[done:]) if done else content


def _opening(content: bytes, at: int) -> int:
    """Where the text begins that ``at`` is in; -1 if none does."""
    while True:
        at = content.rfind(b'"', 0, at)
        first = at
        while first > 0 and content[first - 1] == _BACKSLASH:
            first -= 1
        if (at - first) % 2 == 0:
            return at
