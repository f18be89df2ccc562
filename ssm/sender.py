"""Senders: the one thing that the accounting service uses of this package.

A sender takes the plain body of one message and returns once its destination has taken it over.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509

from ssm.ams import AmsSettings, AmsTransport
from ssm.certificate import HostCertificate
from ssm.errors import CertificateError, Rejected, SigningError
from ssm.smime import encrypt, load_receiver_certificate, sign, verify
from ssm.spool import DirqTransport


class Sender(Protocol):
    """Something that delivers message bodies to one destination."""

    @property
    def name(self) -> str:
        """The destination, stable over restarts, e.g. `ams://host/project/topic`."""

    @property
    def ascii_only(self) -> bool:
        """Whether it refuses bodies with other text."""

    def send(self, body: str, message_id: str) -> str:
        """Deliver `body` under our own `message_id`.

        Returns:
            The destination's id of the message.

        Raises:
            SsmError: not delivered, or not known to be; the type tells what to do.
        """

    def warnings(self) -> tuple[str, ...]:
        """What the operator should know though sending works; without asking the destination."""

    def check(self) -> tuple[str, ...]:
        """Prove, without sending, that sending would work as far as can be known.

        Returns:
            Warnings for the operator, none if all is well.

        Raises:
            SsmError: as `send` would.
        """


class AmsSender:
    """Signs with the host certificate and publishes; several threads may share one.

    Args:
        settings: the broker, the project and the topic.
        cert_path: the host certificate, PEM; read for every message, so a renewed one is used
            (and logged in with) from the next message on.
        key_path: its key, PEM.
        receiver_cert_path: the receiver's certificate, PEM, to encrypt for; None: signed only.
        clock: tells the time (aware UTC) that certificates are checked against.
    """

    def __init__(
        self,
        settings: AmsSettings,
        cert_path: Path,
        key_path: Path,
        *,
        receiver_cert_path: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cert_path = cert_path
        self._key_path = key_path
        self._receiver_cert_path = receiver_cert_path
        self._clock = clock
        self._transport = AmsTransport(settings, cert_path, key_path, clock=clock)

    @property
    def name(self) -> str:
        """`ams://host/project/topic` (with the port, if it is not 443)."""
        return self._transport.settings.destination

    @property
    def ascii_only(self) -> bool:
        """No: other text goes as quoted-printable."""
        return False

    def send(self, body: str, message_id: str) -> str:
        """Sign, verify the signature, encrypt if asked to, publish.

        `message_id` becomes the attribute `empaid`. Returns the broker's id.

        Raises:
            CertificateError, SigningError, Refused, TooLarge, Unavailable (and its kinds).
        """
        host = self._host()
        receiver = self._receiver()
        message = sign(body, host)
        if verify(message, host.certificate) != body.replace("\r\n", "\n"):
            raise SigningError("The signed message holds another body", "Report this as a bug.")
        if receiver is not None:
            message = encrypt(message, receiver)
        return self._transport.publish(message, message_id)

    def warnings(self) -> tuple[str, ...]:
        """That the certificate expires soon; nothing if it cannot be read: sending will tell."""
        try:
            return HostCertificate.load(self._cert_path, self._key_path).warnings(self._clock())
        except CertificateError:
            return ()

    def check(self) -> tuple[str, ...]:
        """Read and check the certificates and log in; returns warnings about expiry."""
        host = self._host()
        self._receiver()
        self._transport.login()
        return host.warnings(self._clock())

    def close(self) -> None:
        """Forget the token."""
        self._transport.close()

    def _host(self) -> HostCertificate:
        host = HostCertificate.load(self._cert_path, self._key_path)
        host.check(self._clock())
        return host

    def _receiver(self) -> x509.Certificate | None:
        if self._receiver_cert_path is None:
            return None
        certificate = load_receiver_certificate(self._receiver_cert_path)
        if self._clock() >= certificate.not_valid_after_utc:
            raise CertificateError(
                f"The receiver's certificate {self._receiver_cert_path} expired on "
                f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
                "Get the receiver's new certificate, or send unencrypted (signed only).",
            )
        return certificate


class DirqSender:
    """Puts plain bodies into a spool, from which the reference `ssmsend` signs and sends them.

    Args:
        path: the spool's directory (`dirq.QueueSimple`).
        allow_non_ascii: write bodies that are not ASCII as UTF-8. The reference sender puts such
            bytes on the wire as they are, which stops the receiver for every site; so they are
            refused unless the consumer of this spool is known to encode them.
    """

    def __init__(self, path: Path, *, allow_non_ascii: bool = False) -> None:
        self._path = path.absolute()
        self._allow_non_ascii = allow_non_ascii
        self._transport = DirqTransport(self._path)

    @property
    def name(self) -> str:
        """`dirq:///absolute/path`."""
        return f"dirq://{self._path}"

    @property
    def ascii_only(self) -> bool:
        """Yes, unless the spool's consumer is known to encode other text."""
        return not self._allow_non_ascii

    def send(self, body: str, message_id: str) -> str:  # noqa: ARG002 - ssmsend makes its own ids
        """Add `body` to the spool, on disk when this returns.

        `message_id` goes no further: the reference sender uses the element's name as `empaid`.
        Returns that name.

        Raises:
            SpoolError: not written; retry.
            Rejected: the body is not ASCII.
            BodyError: the body has no encoding.
        """
        if not self._allow_non_ascii and not body.isascii():
            raise Rejected(
                "The message has text outside ASCII, which the reference sender cannot send safely",
                "Publish to AMS directly (it is encoded then), or replace those names.",
            )
        return self._transport.add(body)

    def warnings(self) -> tuple[str, ...]:
        """None: the reference sender signs."""
        return ()

    def check(self) -> tuple[str, ...]:
        """Prove that the spool's directory can be made and written; returns no warnings."""
        self._transport.check()
        return ()
