"""Builds what sends messages to a destination."""

from typing import TYPE_CHECKING

from accounting.config import PREFIX, Settings
from accounting.errors import SettingsError
from accounting.store.engine.database import Database
from accounting.wiring.places import Place

if TYPE_CHECKING:
    from ssm.sender import Sender


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
    if place is not None and place.service is not None:
        return place.service.sender(database)
    # Polling does without the broker's client and its libraries.
    from ssm.ams import AmsSettings  # noqa: PLC0415 - slow to load, needed here only
    from ssm.sender import AmsSender, DirqSender  # noqa: PLC0415 - slow to load, needed here only

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
