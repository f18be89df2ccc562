"""The socket that a program listens on."""

import socket

from hub.program.failure import WrongSetting


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; ``::`` is every address of this machine, of IPv6 and of IPv4.

    Where the kernel has no IPv6, ``::`` is every address of IPv4.

    Raises:
        WrongSetting: the address is taken, or not this machine's.
    """
    try:
        if host == "::" and socket.has_dualstack_ipv6():
            everywhere = (host, port)
            return socket.create_server(everywhere, family=socket.AF_INET6, dualstack_ipv6=True)
        if host == "::":
            return socket.create_server(("", port))
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        raise WrongSetting(
            f"cannot listen on {host} port {port}: {str(exc.strerror).partition(' (')[0]}",
            "choose others with --host and --port, or stop what listens there",
        ) from exc
