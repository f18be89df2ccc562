"""Shared by the tests of the sender: one throwaway CA, one host, one broker stand-in a test."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ssm.ams import AmsSettings
from ssm.testing.authority import Authority, Issued, KeyKind
from ssm.testing.standin import AmsStandin

Openssl = Callable[..., bytes]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def hosts(authority: Authority) -> dict[KeyKind, Issued]:
    kinds: tuple[KeyKind, ...] = ("rsa", "rsa4096", "ec")
    return {kind: authority.issue("host.example.org", key=kind) for kind in kinds}


@pytest.fixture
def host(hosts: dict[KeyKind, Issued]) -> Issued:
    return hosts["rsa"]


@pytest.fixture(scope="session")
def openssl() -> Openssl:
    def run(*arguments: str | Path, data: bytes = b"") -> bytes:
        command = ["openssl", *map(str, arguments)]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    return run


@pytest.fixture
def standin(authority: Authority) -> Iterator[AmsStandin]:
    with AmsStandin(authority, ack_seconds=1.0) as running:
        yield running


@pytest.fixture
def settings(standin: AmsStandin, authority: Authority) -> AmsSettings:
    return AmsSettings(
        host=standin.host,
        port=standin.port,
        authn_port=standin.authn_port,
        project="accounting",
        topic="eu-egi-cloud-accounting",
        ca_file=authority.ca_file,
        timeout_seconds=5,
    )
