"""Building messages of what is due, and signing them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Policy, Pusher
from accounting.records.formats import apel
from accounting.store.engine.database import Database
from accounting.store.records import Records, Selection
from bench import broker
from bench.figures import Figure
from ssm.certificate import HostCertificate
from ssm.sender import AmsSender, DirqSender
from ssm.smime import sign, verify
from ssm.testing.authority import Authority, KeyKind

RECORDS_PER_MESSAGE = 500
KEYS: tuple[KeyKind, ...] = ("rsa", "rsa4096", "ec")
_TITLES = {"rsa": "RSA 2048", "rsa4096": "RSA 4096", "ec": "EC P-256"}


def measure_signing(database: Path, seconds: float) -> list[Figure]:
    """Records signed, and signed and verified, in a second; one process, one thread."""
    body, count = _body(database)
    figures = [Figure("message", len(body) / 1000, "kB", note=f"{count} records")]
    with TemporaryDirectory(prefix="bench-keys-") as folder:
        authority = Authority.create(Path(folder))
        for kind in KEYS:
            issued = authority.issue("bench.example.org", key=kind)
            host = HostCertificate.load(issued.cert, issued.key)
            figures += _signed(_TITLES[kind], body, count, host, seconds)
    return figures


def _signed(
    title: str, body: str, count: int, host: HostCertificate, seconds: float
) -> list[Figure]:
    alone = _rate(lambda: sign(body, host), seconds) * count
    both = _rate(lambda: verify(sign(body, host), host.certificate), seconds) * count
    return [
        Figure(f"signed, {title}", alone, "records/s", at_least=50_000),
        Figure(f"signed and verified, {title}", both, "records/s"),
    ]


def _rate(work: Callable[[], object], seconds: float) -> float:
    """How often in a second; called for about ``seconds``, after a first time."""
    work()
    begun = time.monotonic()
    times = 0
    while time.monotonic() - begun < seconds:
        work()
        times += 1
    return times / (time.monotonic() - begun)


def measure_connections(database: Path, folder: Path, seconds: float) -> list[Figure]:
    """Messages signed, verified and published in a second, over one connection and over eight.

    The service uses one: per destination, first in is first out. Eight show what that costs.
    """
    body, count = _body(database)
    figures = []
    with broker.running(folder) as addresses:
        for connections in (1, 8):
            sender = broker.sender_to(addresses)
            rate = _published(sender, body, connections, seconds)
            name = f"published, {connections} connection{'s' * (connections > 1)}"
            note = f"{count} records each: {rate * count:,.0f} records/s"
            figures.append(Figure(name, rate, "messages/s", note=note))
    return figures


def _published(sender: AmsSender, body: str, connections: int, seconds: float) -> float:
    """How many messages in a second."""
    sender.send(body, "first")
    begun = time.monotonic()

    def publish(number: int) -> int:
        sent = 0
        while time.monotonic() - begun < seconds:
            sender.send(body, f"{number}-{sent}")
            sent += 1
        return sent

    with ThreadPoolExecutor(connections) as pool:
        sent = sum(pool.map(publish, range(connections)))
    return sent / (time.monotonic() - begun)


def _body(database: Path) -> tuple[str, int]:
    """A message with real records, and how many they are."""
    with Database(f"sqlite:///{database}") as opened:
        found = Records(opened).find(Selection(limit=RECORDS_PER_MESSAGE))
        texts = [apel.text(record) for record in found]
    return apel.message(texts), len(texts)


def measure_push(database: Path) -> list[Figure]:
    """Messages of everything due, into a spool; the records are not due afterwards."""
    with Database(f"sqlite:///{database}") as opened, TemporaryDirectory() as spool:
        outbox = Outbox(opened)
        due = outbox.due_count()
        begun = time.monotonic()
        report = Pusher(
            outbox, DirqSender(Path(spool) / "outgoing"), Policy(RECORDS_PER_MESSAGE)
        ).push()
        seconds = time.monotonic() - begun
    return [
        Figure("push into a spool", seconds, "s", note=f"{due:,} records, {report.sent} messages"),
        Figure("… rate", report.records / seconds, "records/s"),
    ]
