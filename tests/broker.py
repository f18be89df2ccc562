"""Settings with which a service or command delivers to the broker's stand-in."""

from ssm.testing.authority import Authority, Issued
from ssm.testing.standin import AmsStandin


def delivery_to(broker: AmsStandin, authority: Authority, host: Issued) -> dict[str, str]:
    """Names without the prefix, and values; ``host`` signs."""
    return {
        "SSM__TRANSPORT": "ams",
        "SSM__HOSTCERT": str(host.cert),
        "SSM__HOSTKEY": str(host.key),
        "SSM__CA_FILE": str(authority.ca_file),
        "SSM__AMS_HOST": broker.host,
        "SSM__AMS_PORT": str(broker.port),
        "SSM__AUTHN_PORT": str(broker.authn_port),
        "SSM__AMS_PROJECT": "accounting",
        "SSM__AMS_TOPIC": "eu-egi-cloud-accounting",
    }
