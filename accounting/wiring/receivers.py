"""Builds what knows a destination's side: what it was sent, what the portal shows of it."""

from typing import TYPE_CHECKING

from accounting.config import Settings
from accounting.errors import SettingsError
from accounting.model.messages import OutletKind
from accounting.store.engine.database import Database
from accounting.wiring.destinations import addresses, place_of
from accounting.wiring.places import outlet_of

if TYPE_CHECKING:
    from accounting.delivery.receiver import Receiver
    from accounting.delivery.recomputed import Recomputed
    from accounting.delivery.reconciler import Reconciler
    from accounting.delivery.takeover import Takeover


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
