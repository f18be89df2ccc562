"""Builds the parts of a poll and a push from the settings."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from accounting.config import PREFIX, Settings
from accounting.config.cim import CimSettings
from accounting.config.delivery import SsmSettings
from accounting.config.eosc import EoscSettings
from accounting.config.secret import read_secret
from accounting.delivery.backoff import Backoff
from accounting.delivery.outbox import Outbox
from accounting.errors import SettingsError
from accounting.measure.poller import Options, Poller
from accounting.measure.source.connection import Access
from accounting.measure.source.prometheus import Source
from accounting.model.energy import EnergyRules
from accounting.model.messages import OutletKind, address
from accounting.model.time import Month
from accounting.store.engine.database import Database
from accounting.store.erasure import expire_users
from accounting.store.ledger import Ledger

if TYPE_CHECKING:
    from accounting.delivery.outlets.outlet import Outlet
    from accounting.delivery.pusher import Pusher
    from accounting.delivery.receiver import Receiver
    from accounting.delivery.recomputed import Recomputed
    from accounting.delivery.reconciler import Reconciler
    from accounting.delivery.takeover import Takeover
    from ssm.sender import Sender


_DAY = 86400.0


def source_of(settings: Settings) -> Source:
    """The metrics source.

    Raises:
        SettingsError: a certificate or a secret's file cannot be used.
        SourceRefused: a file has no credentials for AWS.
    """
    prometheus = settings.prometheus
    access = access_of(settings)
    for path in (prometheus.password_file, *prometheus.header_files.values()):
        if path is not None:
            setting = "password_file" if path == prometheus.password_file else "header_files"
            read_secret(path, f"prometheus.{setting}")
    if access.aws_credentials_file is not None:
        read_secret(access.aws_credentials_file, "prometheus.aws_credentials_file")
    if access.signing:
        access.signing.auth()
    try:
        return Source(
            prometheus.url,
            timeout_seconds=prometheus.timeout,
            access=access,
            most_bytes=prometheus.most_bytes,
        )
    except OSError as exc:  # ssl.SSLError is one
        raise _unusable(access, exc) from exc


def access_of(settings: Settings) -> Access:
    """What the metrics' store wants to be shown."""
    return Access(**{part.name: getattr(settings.prometheus, part.name) for part in fields(Access)})


def _unusable(access: Access, exc: OSError) -> SettingsError:
    """Which of the certificates cannot be used."""
    here = f"{PREFIX}PROMETHEUS__"
    try:
        replace(access, client_cert=None).tls()
    except OSError:
        return SettingsError(
            f"{here}CA_FILE: {access.ca_file} cannot be used:"
            f" {exc.strerror or 'no certificates in it'}",
            "give a PEM file with the certificate authority of Prometheus",
        )
    why = "no such file" if isinstance(exc, FileNotFoundError) else "not a certificate and its key"
    return SettingsError(
        f"{here}CLIENT_CERT and {here}CLIENT_KEY: {access.client_cert} cannot be used: {why}",
        "give a PEM certificate and its own key, not encrypted, readable for this program",
    )


def poller_of(settings: Settings, database: Database, source: Source) -> Poller:
    """The poller.

    Raises:
        SettingsError: a setting that polling needs is missing.
    """
    options = Options(
        step_seconds=int(settings.poll.step),
        scrape_seconds=settings.prometheus.scrape_interval,
        history_days=settings.poll.history_days,
    )
    return Poller(
        Ledger(database),
        source,
        settings.scope(),
        settings.site(),
        settings.vo_rules(),
        options=options,
    )


def forgetter_of(settings: Settings, database: Database) -> Callable[[float], int]:
    """Replaces user names that are older than the retention, if one is set (I3).

    Returns:
        What takes the time now, Unix seconds, and returns in how many pods it replaced them.
    """
    days = settings.vo.user_retention_days

    def forget(now: float) -> int:
        if days is None:
            return 0
        return expire_users(database, now - days * _DAY, open_from(settings, now))

    return forget


FIRST = "apel"
"""The name of the destination that ``ssm`` has."""
EOSC = "eosc"
"""The name of the destination that ``eosc`` has."""
CIM = "cim"
"""The name of the destination that ``cim`` has."""


@dataclass(frozen=True, slots=True)
class Place:
    """A destination of the settings: its name there, and how to reach it.

    Attributes:
        ssm: how messages are made, sent and tried again.
        eosc: where hours go instead of a broker; None: to the broker or spool of ``ssm``.
        cim: where energy goes instead of a broker; None: to the broker or spool of ``ssm``.
        energy: how that is found out.
    """

    name: str
    ssm: SsmSettings
    eosc: EoscSettings | None = None
    cim: CimSettings | None = None
    energy: EnergyRules = field(default_factory=EnergyRules)

    @property
    def is_signed(self) -> bool:
        """Whether messages go to a broker or spool, and not to a receiver over HTTP."""
        return self.eosc is None and self.cim is None


def places(settings: Settings) -> Iterator[Place]:
    """The destinations of the settings, in their order."""
    yield Place(FIRST, settings.ssm)
    for name, given in settings.destinations.items():
        yield Place(name, given.over(settings.ssm))
    if settings.eosc.url is not None:
        timing = {name: getattr(settings.eosc, name) for name in ("interval", "total_timeout")}
        yield Place(EOSC, settings.ssm.model_copy(update=timing), settings.eosc)
    if settings.cim.url is not None:
        timing = {name: getattr(settings.cim, name) for name in ("interval", "total_timeout")}
        yield Place(
            CIM,
            settings.ssm.model_copy(update=timing),
            cim=settings.cim,
            energy=settings.energy.rules,
        )


def outlet_of(place: Place) -> "Outlet":
    """What a destination takes: its figures, their text and their keys."""
    if eosc := place.eosc:
        from accounting.delivery.outlets.hours import Hours  # noqa: PLC0415 - slow to load, needed here only

        return Hours(eosc.of_flavors(), first_day=eosc.first, delay_seconds=eosc.delay)
    if cim := place.cim:
        from accounting.delivery.outlets.energy import Energy  # noqa: PLC0415 - slow to load, needed here only

        return Energy(place.energy, delay_seconds=cim.delay)
    from accounting.delivery.outlets.accelerators import Accelerators  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.outlets.records import CloudRecords  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.outlets.storage import Storage  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.outlets.summaries import Summaries  # noqa: PLC0415 - slow to load, needed here only

    match place.ssm.records:
        case "summary":
            return Summaries()
        case "accelerators":
            return Accelerators()
        case "storage":
            return Storage()
        case _:
            return CloudRecords()


def sender_of(
    settings: Settings, place: Place | None = None, database: Database | None = None
) -> "Sender":
    """Where messages go.

    Args:
        settings: the service's.
        place: which destination; by default the first.
        database: keeps what a receiver says of single figures; needed to send to one that does.

    Raises:
        SettingsError: a name that cannot be part of the broker's addresses.
    """
    if place is not None and place.eosc is not None:
        return _eosc_sender(place.eosc, database)
    # Polling does without the broker's client and its libraries.
    from ssm.ams import AmsSettings  # noqa: PLC0415 - slow to load, needed here only
    from ssm.sender import AmsSender, DirqSender  # noqa: PLC0415 - slow to load, needed here only

    if place is not None and place.cim is not None:
        return _cim_sender(place.cim)
    ssm = settings.ssm if place is None else place.ssm
    if ssm.transport == "dirq" and ssm.dirq_path is not None:
        return DirqSender(ssm.dirq_path)
    try:
        broker = AmsSettings(
            host=ssm.ams_host,
            project=ssm.ams_project,
            topic=ssm.ams_topic,
            port=ssm.ams_port,
            authn_port=ssm.authn_port,
            ca_file=ssm.ca_file,
            connect_seconds=ssm.connect_timeout,
            timeout_seconds=ssm.timeout,
            total_seconds=ssm.total_timeout,
            suspect_bytes=ssm.split_above_bytes,
        )
    except ValueError as exc:
        raise SettingsError(
            f"{PREFIX}SSM__AMS_HOST, …__AMS_PROJECT or …__AMS_TOPIC is wrong: {exc}",
            f"for example {PREFIX}SSM__AMS_HOST=msg.argo.grnet.gr",
        ) from exc
    return AmsSender(broker, ssm.hostcert, ssm.hostkey, receiver_cert_path=ssm.servercert)


def _eosc_sender(eosc: EoscSettings, database: Database | None) -> "Sender":
    from accounting.delivery.eosc.access import Access as Api  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.eosc.login import Client  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.exchange import Bounds  # noqa: PLC0415 - slow to load, needed here only

    client = Client(eosc.client_id, eosc.client_secret, eosc.scope)
    bounds = Bounds(eosc.timeout, eosc.total_timeout, eosc.most_bytes)
    api = Api(eosc.url or "", eosc.token_url or "", client, bounds, eosc.ca_file)
    return api.sender(database, filter(None, eosc.of_flavors().of_flavors.values()))


def _cim_sender(cim: CimSettings) -> "Sender":
    from accounting.delivery.cim.login import Login, Publisher  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.cim.sender import CimSender  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.exchange import Bounds, Exchange  # noqa: PLC0415 - slow to load, needed here only

    bounds = Bounds(cim.timeout, cim.total_timeout, cim.most_bytes)
    publisher = Publisher(cim.email, cim.password)
    login = Login(Exchange(cim.url or "", bounds, cim.ca_file), publisher)
    return CimSender(Exchange(cim.url or "", bounds, cim.ca_file), login)


def addresses(settings: Settings) -> dict[str, str]:
    """How messages name the destinations, by their names in the settings, in their order.

    Raises:
        SettingsError: a name that cannot be part of the broker's addresses.
    """
    return {
        place.name: address(sender_of(settings, place).name, outlet_of(place).kind)
        for place in places(settings)
    }


def names_of(settings: Settings) -> dict[str, str]:
    """The destinations' names in the settings, by how messages name them.

    Empty where an address is wrong: every push tells of it.
    """
    with suppress(SettingsError):
        return {where: name for name, where in addresses(settings).items()}
    return {}


def address_of(settings: Settings, said: str = "") -> str:
    """How messages name a destination.

    Args:
        settings: the service's.
        said: its name in the settings, or an address, which may be of a destination that is not
            in the settings any more; empty: the first one.

    Raises:
        SettingsError: the settings have no destination of that name.
    """
    return said if "://" in said else addresses(settings)[place_of(settings, said).name]


def place_of(settings: Settings, said: str = "") -> Place:
    """A destination by its name in the settings or its address; empty: the first one.

    Raises:
        SettingsError: the settings have none like that.
    """
    known = {place.name: place for place in places(settings)}
    found = known.get(names_of(settings).get(said, said or FIRST))
    if found is None:
        raise SettingsError(
            f"the settings have no destination '{said}'", f"they have {', '.join(known)}"
        )
    return found


def receiver_of(settings: Settings, database: Database, said: str = "") -> "Receiver | Recomputed":
    """What a destination holds; see ``place_of`` for how to name it.

    Raises:
        SettingsError: the settings have none like that.
    """
    from accounting.delivery.outlets.computed import Computed  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.receiver import Receiver  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.recomputed import Recomputed  # noqa: PLC0415 - slow to load, needed here only

    place = place_of(settings, said)
    where, outlet = addresses(settings)[place.name], outlet_of(place)
    if isinstance(outlet, Computed):
        return Recomputed(database, where, outlet)
    return Receiver(database, where)


def reconciler_of(settings: Settings, database: Database, said: str = "") -> "Reconciler":
    """What holds deliveries against the portal; see ``place_of`` for naming the destination.

    Raises:
        SettingsError: the settings have none like that, or the portal shows nothing of its kind.
    """
    from accounting.delivery.reconciler import Policy, Reconciler  # noqa: PLC0415 - slow to load, needed here only
    from accounting.model.reconciliation import Unit  # noqa: PLC0415 - slow to load, needed here only

    place = place_of(settings, said)
    kind = outlet_of(place).kind
    if kind not in {OutletKind.RECORDS, OutletKind.SUMMARIES}:
        raise SettingsError(
            f"the destination '{place.name}' takes {kind}, which the portal does not show",
            "name one that takes records or summaries with --destination",
        )
    portal = settings.portal
    policy = Policy(
        portal.tolerance, portal.delay, None if portal.unit == "auto" else Unit(portal.unit)
    )
    where = addresses(settings)[place.name]
    return Reconciler(database, where, kind, settings.site().name, policy)


def takeover_of(settings: Settings, database: Database, said: str = "") -> "Takeover":
    """What takes over an earlier tool's history; see ``place_of`` for naming the destination.

    Raises:
        SettingsError: the settings have none like that, or it does not take records.
    """
    from accounting.delivery.takeover import Takeover  # noqa: PLC0415 - slow to load, needed here only

    place = place_of(settings, said)
    if outlet_of(place).kind is not OutletKind.RECORDS:
        raise SettingsError(
            f"the destination '{place.name}' does not take records of single notebooks",
            "name the one that the earlier tool's records went to with --destination",
        )
    where = addresses(settings)
    position = [*where].index(place.name)
    return Takeover(database, settings.site(), settings.vo_rules(), where[place.name], position)


def pushers_of(
    settings: Settings, database: Database, *, at_once: bool = False
) -> "dict[str, Pusher]":
    """What delivers, by the destinations' names in the settings.

    Args:
        settings: the service's.
        database: the outbox's.
        at_once: do not wait for the next try that a failure has put off.

    Raises:
        SettingsError: a name that cannot be part of the broker's addresses, or two destinations
            are the same.
    """
    made: dict[str, Pusher] = {}
    for position, place in enumerate(places(settings)):
        made[place.name] = _pusher_of(settings, database, place, position, at_once=at_once)
    _refuse_wrong_names(settings)
    names = [pusher.destination for pusher in made.values()]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(
            f"{PREFIX}DESTINATIONS: two destinations are {twice}",
            "give each its own topic or spool",
        )
    return made


def _refuse_wrong_names(settings: Settings) -> None:
    """Those of destinations that have settings of their own; and energy that nobody measures."""
    for name, url in ((EOSC, settings.eosc.url), (CIM, settings.cim.url)):
        if name in settings.destinations and url is not None:
            raise SettingsError(
                f"{PREFIX}DESTINATIONS: '{name}' is the name of the destination that"
                f" {PREFIX}{name.upper()} has",
                "give the other one another name",
            )
    if settings.cim.url is not None and not settings.energy.enabled:
        raise SettingsError(
            f"{PREFIX}CIM__URL is set, but no energy is measured",
            f"set {PREFIX}ENERGY__ENABLED=true",
        )


def _pusher_of(
    settings: Settings, database: Database, place: Place, position: int, *, at_once: bool
) -> "Pusher":
    from accounting.delivery.pusher import Policy, Pusher  # noqa: PLC0415 - slow to load, needed here only

    ssm = place.ssm
    policy = Policy(
        records_per_message=ssm.records_per_message,
        close_after_seconds=settings.record.close_after,
        backoff=Backoff(ssm.retry_first, ssm.retry_longest),
        probe_seconds=ssm.probe_after,
        settle_seconds=ssm.total_timeout,
        at_once=at_once,
    )
    outbox = Outbox(database, outlet_of(place))
    sender = sender_of(settings, place, database)
    return Pusher(outbox, sender, policy, position=position)


def open_from(settings: Settings, now: float) -> Month:
    """The first month that is not closed: corrections of earlier ones wait for ``republish``."""
    return Month.first_open(now, settings.record.close_after)
