"""Further topics of the demo's broker: what an outlet has due is signed and pushed there."""

from accounting.delivery import pusher
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.outlet import Outlet
from accounting.demo.stage import Stage
from ssm.ams import AmsSettings
from ssm.certificate import HostCertificate
from ssm.sender import AmsSender
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
    certificate = HostCertificate.load(*scene.host)
    broker = scene.topics[topic]
    address = AmsSettings(
        host=broker.host,
        project="accounting",
        topic=topic,
        port=broker.port,
        authn_port=broker.authn_port,
        ca_file=scene.authority.ca_file,
    )
    sender, policy = AmsSender(address, *scene.host), pusher.Policy(_AT_ONCE)
    try:
        outbox = Outbox(scene.database, outlet)
        report = pusher.Pusher(outbox, sender, policy, position=position).push()
    finally:
        sender.close()
    if report.error is not None:
        raise report.error
    bodies = [verify(stored.data, certificate.certificate) for stored in broker.log]
    return [text for body in bodies for text in outlet.texts(body)]
