"""Shared by the tests of delivery: a ledger on each kind of database, and a broker over TLS."""

import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from accounting.delivery import pusher
from accounting.delivery.backoff import Backoff
from accounting.delivery.outbox import Outbox
from accounting.store.engine.database import Database
from accounting.telemetry.logs import configure_logs
from ssm.ams import AmsSettings
from ssm.certificate import HostCertificate
from ssm.sender import AmsSender, Sender
from ssm.smime import verify
from ssm.testing.authority import Authority, Issued
from ssm.testing.standin import AmsStandin
from tests.delivery.books import opened
from tests.delivery.crash import Nursery

NewUrl = Callable[[Path], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest) -> NewUrl:
    """Makes the URLs of empty databases, in a folder where they are files."""
    if request.param == "sqlite":
        return lambda folder: f"sqlite:///{folder / 'accounting.db'}"
    made: Callable[[], str] = request.getfixturevalue("postgres")
    return lambda _folder: made()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Where pushers are born that are killed."""
    with Nursery() as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def host(authority: Authority) -> Issued:
    return authority.issue("host.example.org", key="ec")


@pytest.fixture
def broker(authority: Authority) -> Iterator[AmsStandin]:
    with AmsStandin(authority) as running:
        yield running


@pytest.fixture
def ams(broker: AmsStandin, authority: Authority) -> AmsSettings:
    return AmsSettings(
        host=broker.host,
        port=broker.port,
        authn_port=broker.authn_port,
        project="accounting",
        topic="eu-egi-cloud-accounting",
        ca_file=authority.ca_file,
        timeout_seconds=5,
    )


@pytest.fixture
def received(broker: AmsStandin, host: Issued) -> Callable[[], list[str]]:
    """The bodies that the broker holds, in order, their signatures verified."""
    certificate = HostCertificate.load(*host).certificate
    return lambda: [verify(stored.data, certificate) for stored in broker.log]


@dataclass
class Desk:
    """Pushes with a clock that the test turns, and with a chance that is always one half."""

    database: Database
    sender: Sender
    ams: AmsSettings
    host: Issued
    at: float = 1_800_000_000.0
    policy: pusher.Policy = field(
        default_factory=lambda: pusher.Policy(backoff=Backoff(30, 3600), probe_seconds=600)
    )

    def push(self) -> pusher.Report:
        outbox = Outbox(self.database)
        return pusher.Pusher(
            outbox, self.sender, self.policy, now=lambda: self.at, chance=lambda: 0.5
        ).push()


@pytest.fixture
def desk(tmp_path: Path, ams: AmsSettings, host: Issued) -> Iterator[Desk]:
    with opened(tmp_path) as database:
        yield Desk(database, AmsSender(ams, *host), ams, host)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, of libraries too, at the most talkative level."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs("debug", as_json=True, stream=stream)
    root.setLevel(logging.DEBUG)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
