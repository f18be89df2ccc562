"""Further topics of the demo's broker: what an outlet has due is signed and pushed there."""

from accounting.delivery import pusher
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.outlet import Outlet
from accounting.demo.stage import Stage, sender_to
from ssm.certificate import HostCertificate
from ssm.smime import verify

_AT_ONCE = 100


def told(scene: Stage, outlet: Outlet, topic: str, position: int) -> list[str]:
    """Push all that is due.

    Args:
        scene: where everything is.
        outlet: what is told.
        topic: where.
        position: the destination's place among all.

    Returns:
        The texts that the topic has afterwards, their signatures verified.
    """
    certificate, broker = HostCertificate.load(*scene.host), scene.topics[topic]
    with sender_to(broker, topic, scene.authority, scene.host) as sender:
        pushing = pusher.Pusher(
            Outbox(scene.database, outlet), sender, pusher.Policy(_AT_ONCE), position=position
        )
        report = pushing.push()
    if report.error is not None:
        raise report.error
    bodies = [verify(stored.data, certificate.certificate) for stored in broker.log]
    return [text for body in bodies for text in outlet.texts(body)]
