"""Builds what delivers to the destinations."""

from typing import TYPE_CHECKING

from accounting.config import PREFIX, Settings
from accounting.delivery.backoff import Backoff
from accounting.delivery.outbox import Outbox
from accounting.errors import SettingsError
from accounting.store.engine.database import Database
from accounting.wiring.places import Place, outlet_of, places
from accounting.wiring.senders import sender_of
from accounting.wiring.services import services

if TYPE_CHECKING:
    from accounting.delivery.pusher import Pusher


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
    """Those of destinations that have settings of their own, and what goes with none of these."""
    for service in services(settings):
        if service.name in settings.destinations:
            raise SettingsError(
                f"{PREFIX}DESTINATIONS: '{service.name}' is the name of the destination that"
                f" {PREFIX}{service.name.upper()} has",
                "give the other one another name",
            )
        service.refuse_wrong(settings)


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
