"""Which proxy an address is reached through: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

Kubernetes' NO_PROXY has networks (``10.0.0.0/8``, ``fd00::/8``) and IPv6 addresses, with and
without brackets, which the usual libraries misread or fail on.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies

_SEPARATORS = re.compile(r"[,\s]+")
_PORTS = {"http": 80, "https": 443}


def proxy_of(url: str, proxies: Mapping[str, str] | None = None) -> str | None:
    """The proxy's address; None where none is to be used.

    Args:
        url: what is to be reached.
        proxies: by scheme, with ``all`` and ``no``; the environment's by default.
    """
    known = getproxies() if proxies is None else proxies
    parts = urlsplit(url)
    proxy = known.get(parts.scheme) or known.get("all")
    host = (parts.hostname or "").lower().rstrip(".")
    if not proxy or not host:
        return None
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:  # no valid port: the request itself will fail, and say so
        return None
    if any(_fits(entry, host, port) for entry in _SEPARATORS.split(known.get("no", "")) if entry):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _fits(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means a host."""
    text = entry.lower().rpartition("://")[2].rstrip("/.")
    if text == "*":
        return True
    bracketed = re.fullmatch(r"\[([^\]]+)\](/\d+)?(?::(\d+))?", text)
    if bracketed:
        name, wanted = bracketed[1] + (bracketed[2] or ""), bracketed[3]
    elif text.count(":") == 1:
        name, _, wanted = text.partition(":")
    else:
        name, wanted = text, None
    if wanted and int(wanted or 0) != port:
        return False
    try:
        address = ip_address(host)
        mapped = getattr(address, "ipv4_mapped", None)  # ``::ffff:10.1.2.3`` is the same place
        return (mapped or address) in ip_network(name, strict=False)
    except ValueError:  # at least one of them is a name
        plain = name.removeprefix("*").lstrip(".")
        return bool(plain) and (host == plain or host.endswith(f".{plain}"))
