"""The demo's environment: a simulated cluster, a real Prometheus, a broker, a site's files.

Everything is in one folder and on loopback ports, and ends with the ``with`` block.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from accounting.config import Settings
from accounting.errors import AccountingError
from accounting.model.energy import EnergyRules
from accounting.records.builder import Site
from accounting.records.daily import Metric, Metrics
from accounting.records.identity import VoRules
from accounting.simulation.judges.cim import Cim, CimStandin
from accounting.simulation.judges.eosc import Eosc, EoscStandin
from accounting.simulation.stores.engines import Engine, run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.stores.live import serve_targets
from accounting.simulation.stores.programs import ProgramError, ProgramMissingError
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.simulation.world.flavors import GPU_FLAVORS, ODD_FLAVORS, PLAIN_FLAVORS
from accounting.store.engine.database import Database
from ssm.ams import AmsSettings
from ssm.certificate import HostCertificate
from ssm.sender import AmsSender
from ssm.testing.authority import Authority, Issued
from ssm.testing.standin import AmsStandin

SITE = Site(
    name="EXAMPLE-NOTEBOOKS",
    default_cpu_count=1.0,
    default_memory_mb=1024,
    energy=EnergyRules(),
)
GRAMS_PER_KWH = 210.0
DEFAULT_VO = "default.example.org"
RULES = VoRules(default=DEFAULT_VO)

INSTALLATION = "example-notebooks"
_METRICS = {
    flavor.name: Metric(INSTALLATION, f"{flavor.name}-hours")
    for flavor in (*PLAIN_FLAVORS, *ODD_FLAVORS, *GPU_FLAVORS)
}

RECORD_TOPIC = "eu-egi-cloud-accounting"
GPU_TOPIC = "eu-egi-accelerator-accounting"
"""Made up: no release of APEL takes these records."""
HOME_TOPIC = "eu-egi-storage-accounting"
_OUTLETS = {"gpus": ("accelerators", GPU_TOPIC), "homes": ("storage", HOME_TOPIC)}
"""Destinations beside the records': what is told, and where."""

HISTORY = timedelta(days=35)
PODS = 320
HISTORY_SECONDS = 120.0
LIVE_SECONDS = 5.0
LIVE_SCRAPES = 3
SERVED_SECONDS = 30.0
"""How often the service polls and pushes, when the demo stays."""
_MARKER = ".notebooks-accounting-demo"


@dataclass(frozen=True)
class Stage:
    """Everything the demo shows, running.

    Attributes:
        folder: all that is written lies here.
        cluster: the truth.
        prometheus: the engine that knows the past and scrapes the present.
        database: an empty ledger.
        authority, host: the certificate authority, and what the site would register in GOCDB.
        broker: the stand-in for AMS.
        topics: stand-ins with further topics, by their names.
        sender: delivers to the first.
        eosc: the stand-in for EOSC's accounting.
        cim: the stand-in for GreenDIGIT's.
    """

    folder: Path
    cluster: Cluster
    prometheus: Engine
    database: Database
    authority: Authority
    host: Issued
    broker: AmsStandin
    topics: Mapping[str, AmsStandin]
    sender: AmsSender
    eosc: EoscStandin
    cim: CimStandin


def prepared(folder: Path) -> Path:
    """An empty folder; one of an earlier demo is emptied, any other is refused."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARKER).exists():
            raise AccountingError(
                f"the folder {folder} holds something that is not of this demo",
                "name an empty folder with --folder",
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARKER).touch()
    return folder


def planned(now: datetime) -> Cluster:
    """35 days of notebooks until ``now``, and a day that is still to come."""
    return Cluster.generate(
        seed=20,
        start=now - HISTORY,
        end=now + timedelta(days=1),
        pods=PODS,
        mean_life=9000,
        features=Features.all().but(volumes=True, kepler=True),
        interval_seconds=HISTORY_SECONDS,
    )


@contextmanager
def built(folder: Path, console: Console) -> Iterator[Stage]:
    """Build the stage, telling what it does; take it down at the end.

    Raises:
        AccountingError: a program is missing, or did not start.
    """
    with ExitStack() as stack:
        now = datetime.now(UTC).replace(microsecond=0)
        cluster = planned(now)
        try:
            with _said(console, f"Writing {HISTORY.days} days of metrics into Prometheus"):
                samples = populate(cluster, folder / "prometheus", end=now)
            console.print(f"  {len(cluster.pods):,} pods, {samples:,} samples")
            targets = stack.enter_context(serve_targets(cluster))
            prometheus = stack.enter_context(
                run_prometheus(
                    folder / "prometheus", scrape_config=targets.scrape_config(LIVE_SECONDS)
                )
            )
        except (ProgramMissingError, ProgramError) as exc:
            raise AccountingError(str(exc), "run 'make demo', which installs it") from exc
        with _said(console, "Prometheus scrapes the live cluster"):
            time.sleep(LIVE_SCRAPES * LIVE_SECONDS)
        authority = Authority.create(folder / "certificates")
        host = authority.issue("notebooks.example.org")
        registered = [HostCertificate.load(*host).dn]
        broker = stack.enter_context(
            AmsStandin(
                authority,
                registered=registered,
                topic=RECORD_TOPIC,
                journal=folder / "ams.jsonl",
            )
        )
        topics = {
            topic: stack.enter_context(AmsStandin(authority, registered=registered, topic=topic))
            for _, topic in _OUTLETS.values()
        }
        sender = stack.enter_context(sender_to(broker, RECORD_TOPIC, authority, host))
        database = stack.enter_context(Database(f"sqlite:///{folder / 'accounting.db'}"))
        database.upgrade()
        known = [metric.definition for metric in _METRICS.values()]
        eosc = stack.enter_context(EoscStandin(Eosc([INSTALLATION], known)))
        cim = stack.enter_context(CimStandin(Cim()))
        yield Stage(
            folder=folder,
            cluster=cluster,
            prometheus=prometheus,
            database=database,
            authority=authority,
            host=host,
            broker=broker,
            topics=topics,
            sender=sender,
            eosc=eosc,
            cim=cim,
        )


def settings(scene: Stage, token_file: Path) -> Settings:
    """The settings of a service on this stage; those of the environment are not this demo's."""
    given: dict[str, Any] = {
        "site_name": SITE.name,
        "database_url": f"sqlite:///{scene.folder / 'accounting.db'}",
        "prometheus": {
            "url": scene.prometheus.url,
            "namespace": scene.cluster.namespace,
            "scrape_interval": HISTORY_SECONDS,
        },
        "poll": {"interval": SERVED_SECONDS, "settle": LIVE_SECONDS},
        "vo": {"default": DEFAULT_VO},
        "record": {
            "default_cpu_count": SITE.default_cpu_count,
            "default_memory_mb": SITE.default_memory_mb,
        },
        "energy": {"enabled": True, "grams_per_kwh": GRAMS_PER_KWH},
        "ssm": {
            "hostcert": scene.host.cert,
            "hostkey": scene.host.key,
            "ca_file": scene.authority.ca_file,
            **_reached(scene.broker),
            "interval": SERVED_SECONDS,
        },
        "storage": {"measure": True},
        "eosc": {
            "url": scene.eosc.url,
            "token_url": scene.eosc.token_url,
            "client_id": scene.eosc.eosc.client[0],
            "client_secret_file": _secret(scene, "eosc-secret", scene.eosc.eosc.client[1]),
            "installation": INSTALLATION,
            "metrics": {flavor: metric.definition for flavor, metric in _METRICS.items()},
            "interval": SERVED_SECONDS,
        },
        "cim": {
            "url": scene.cim.base,
            "email": scene.cim.cim.publisher[0],
            "password_file": _secret(scene, "cim-password", scene.cim.cim.publisher[1]),
            "interval": SERVED_SECONDS,
        },
        "destinations": {
            name: {"records": told, "ams_topic": topic, **_reached(scene.topics[topic])}
            for name, (told, topic) in _OUTLETS.items()
        },
        "api": {"token_file": token_file},
    }
    return Settings(_env_prefix="DEMO_ACCOUNTING_", **given)  # type: ignore[call-arg] # known at run time


@contextmanager
def sender_to(
    broker: AmsStandin, topic: str, authority: Authority, host: Issued
) -> Iterator[AmsSender]:
    """A sender to a stand-in's topic, closed at the end."""
    address = AmsSettings(
        host=broker.host,
        project="accounting",
        topic=topic,
        port=broker.port,
        authn_port=broker.authn_port,
        ca_file=authority.ca_file,
    )
    with closing(AmsSender(address, *host)) as sender:
        yield sender


def bounds(day: str) -> tuple[float, float]:
    """The begin and the end of a UTC day such as 2026-11-27, Unix seconds."""
    first = datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()
    return first, first + timedelta(days=1).total_seconds()


def metrics() -> Metrics:
    """What the flavours count as at EOSC."""
    return Metrics(_METRICS)


def _reached(broker: AmsStandin) -> Mapping[str, Any]:
    """The settings of where a stand-in listens."""
    return {
        "ams_host": broker.host,
        "ams_port": broker.port,
        "authn_port": broker.authn_port,
    }


def _secret(scene: Stage, name: str, secret: str) -> Path:
    """A file with a secret."""
    file = scene.folder / name
    file.touch(mode=0o600)
    file.write_text(secret)
    return file


@contextmanager
def _said(console: Console, what: str) -> Iterator[None]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=1)
        yield
        progress.update(task, completed=1)
