"""How measuring and delivery stand, for the metrics."""

from datetime import UTC, datetime

from accounting.config import Settings
from accounting.delivery.outbox import Outbox
from accounting.lookup.messages import Messages
from accounting.store.clock import age
from accounting.store.database import Database
from accounting.store.holds import Holds
from accounting.store.ledger import Ledger
from accounting.store.records import Records, Selection
from accounting.telemetry import Standing
from accounting.wiring import open_from


def standing_of(settings: Settings, database: Database, now: float) -> Standing:
    """How things stand at ``now`` (Unix seconds).

    Raises:
        DatabaseError: the database cannot be read.
    """
    messages, outbox = Messages(database), Outbox(database)
    first = open_from(settings, now)
    progress = Ledger(database).progress()
    oldest = messages.oldest_pending_at()
    held, acknowledged = Holds(database).counts()
    return Standing(
        lag_seconds=None if progress is None else age(progress.watermark, now),
        due=outbox.due_count(first),
        messages={state.value: count for state, count in outbox.counts().items()},
        oldest_seconds=0.0 if oldest is None else age(oldest, now),
        held=held,
        acknowledged=acknowledged,
        last_push_at=messages.last_sent_at(),
        certificate_days=_certificate_days(settings, now),
        stopped=sum(1 for found in messages.destinations() if found.stop),
        late=Records(database).count(Selection(differing=True, open_from=first)),
    )


def _certificate_days(settings: Settings, now: float) -> float | None:
    if settings.ssm.transport != "ams":
        return None
    from ssm.certificate import HostCertificate  # noqa: PLC0415 - as above
    from ssm.errors import CertificateError  # noqa: PLC0415

    try:
        host = HostCertificate.load(settings.ssm.hostcert, settings.ssm.hostkey)
    except CertificateError:
        return None
    return host.days_left(datetime.fromtimestamp(now, UTC))
