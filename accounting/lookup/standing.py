"""How measuring and delivery stand, for the metrics."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from accounting.config import Settings
from accounting.delivery.outbox import Outbox
from accounting.lookup.messages import Destination, Messages
from accounting.lookup.unmapped import unmapped
from accounting.model.messages import MessageState
from accounting.model.reconciliation import Cause
from accounting.model.time import Month
from accounting.store.engine.clock import age, records_ahead
from accounting.store.engine.database import Database
from accounting.store.holds import Holds
from accounting.store.ledger import Ledger
from accounting.store.reconciliations import Reconciliations
from accounting.telemetry.standing import ELSEWHERE, Outgoing, Standing
from accounting.wiring.destinations import names_of
from accounting.wiring.months import open_from
from accounting.wiring.places import Place, outlet_of, places


def standing_of(settings: Settings, database: Database, now: float) -> Standing:
    """How things stand at ``now`` (Unix seconds).

    Raises:
        DatabaseError: the database cannot be read.
    """
    progress = Ledger(database).progress()
    held, acknowledged = Holds(database).counts()
    compared = Reconciliations(database).latest()
    return Standing(
        lag_seconds=None if progress is None else age(progress.watermark, now),
        held=held,
        acknowledged=acknowledged,
        destinations=_outgoing(settings, database, now),
        differences={
            cause: sum(made.causes[cause] for made in compared) for cause in Cause if cause
        },
        reconciled_at=max((made.made_at for made in compared), default=None),
        dated_ahead=records_ahead(database, now),
        unmapped_hours={one.called: one.hours for one in unmapped(settings, database, now)},
    )


def _outgoing(settings: Settings, database: Database, now: float) -> dict[str, Outgoing]:
    names = names_of(settings)
    found = {one.name: one for one in Messages(database).destinations(names)}
    given = {place.name: place for place in places(settings)}
    first = open_from(settings, now)
    told = {
        name: Outgoing(
            address,
            certificate_days=_certificate_days(given[name], now),
            is_stopped=found[address].stop is not None,
            **_figures(Outbox(database, outlet_of(given[name])), address, first),
            **_messages([found[address]], now),
        )
        for address, name in names.items()
    }
    old = [one for address, one in found.items() if address not in names]
    return {
        **told,
        ELSEWHERE: Outgoing(due=0, differing=0, is_stopped=False, **_messages(old, now)),
    }


def _figures(outbox: Outbox, address: str, first: Month) -> dict[str, Any]:
    due, differing = outbox.unsaid_counts(first, address)
    return {"due": due, "differing": differing}


def _messages(found: Sequence[Destination], now: float) -> dict[str, Any]:
    """The figures of messages, of several destinations together."""
    oldest = min((one.oldest_at for one in found if one.oldest_at is not None), default=now)
    sent = (one.last_sent_at for one in found if one.last_sent_at is not None)
    return {
        "messages": {
            state.value: sum(one.messages[state] for one in found) for state in MessageState
        },
        "oldest_seconds": age(oldest, now),
        "last_push_at": max(sent, default=None),
    }


def _certificate_days(place: Place, now: float) -> float | None:
    ssm = place.ssm
    if ssm.transport != "ams" or place.service is not None:
        return None
    from ssm.certificate import HostCertificate  # noqa: PLC0415 - cryptography is slow to load
    from ssm.errors import CertificateError  # noqa: PLC0415 - cryptography is slow to load

    try:
        host = HostCertificate.load(ssm.hostcert, ssm.hostkey)
    except CertificateError:
        return None
    return host.days_left(datetime.fromtimestamp(now, UTC))
