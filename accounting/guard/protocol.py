"""Which requests break HTTP's rules, or can be read in two ways (RFC 9110, 9112).

The parser refuses most of them. These are what it lets through. A proxy in front may have read such
a request otherwise, so it must not be guessed what is meant.
"""

import re

from starlette.types import Scope

from accounting.guard.problem import Problem

_BAD, _NOT_IMPLEMENTED, _OTHER_VERSION = 400, 501, 505
_VERSIONS = frozenset({"1.0", "1.1"})
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+,;=%-]{0,255})(:[0-9]{0,5})?")
"""A name or address, and a port (RFC 3986, 3.2.2)."""

_ONCE = frozenset(
    {
        b"host",
        b"authorization",
        b"content-type",
        b"origin",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"x-csrf-token",
    }
)
"""Headers that decide something. Given twice, a proxy may have looked at the other one."""


def require_plain(scope: Scope) -> None:
    """Refuse a request that breaks the rules.

    Raises:
        Problem: it does.
    """
    version, headers = scope.get("http_version", "1.0"), scope["headers"]
    if version not in _VERSIONS:
        raise Problem(_OTHER_VERSION, f"HTTP/{version} is not spoken here", "use HTTP/1.1")
    deciding = [name for name, _ in headers if name in _ONCE]
    if len(deciding) != len(set(deciding)):
        twice = next(name for name in deciding if deciding.count(name) > 1).decode()
        raise Problem(_BAD, f"the header {twice} is given twice", "send it once")
    known = dict(headers)
    if version == "1.1" and b"host" not in known:
        raise Problem(_BAD, "the header host is missing", "send it, as HTTP/1.1 requires")
    if not _HOST.fullmatch(known.get(b"host", b"")):
        raise Problem(_BAD, "the header host is no host's name", "send a name, and a port at most")
    encoding = known.get(b"transfer-encoding", b"chunked").strip().lower()
    if encoding != b"chunked":
        raise Problem(_NOT_IMPLEMENTED, "the body has an unknown encoding", "send it as it is")
    if version == "1.0" and b"transfer-encoding" in known:
        raise Problem(_BAD, "HTTP/1.0 has no chunks", "send the body with its length")
