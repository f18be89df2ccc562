"""Texts as both databases keep them.

PostgreSQL takes no NUL, and neither it nor SQLite takes half of a surrogate pair.
"""

import re
from urllib.parse import quote

_UNFIT = re.compile("[\0\ud800-\udfff]")
_ESCAPED = re.compile("[%\0\ud800-\udfff]")


def fit(text: str) -> str:
    """The text, percent-encoded where it must be: then, "%" is "%25"."""
    if not _UNFIT.search(text):
        return text
    return _ESCAPED.sub(lambda found: quote(found[0], safe="", errors="surrogatepass"), text)
