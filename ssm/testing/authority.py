"""A throwaway certificate authority for demonstrations and tests. Never trust it anywhere else."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KeyKind = Literal["rsa", "rsa4096", "ec"]
_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Issued(NamedTuple):
    """Where an issued certificate and its key lie, both PEM."""

    cert: Path
    key: Path


def new_key(kind: KeyKind) -> _Key:
    """A fresh private key: RSA 2048 ("rsa"), RSA 4096 ("rsa4096") or P-256 ("ec")."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 4096 if kind == "rsa4096" else 2048)


def write_key(path: Path, key: _Key) -> None:
    """Write `key` as unencrypted PEM to the new file `path`, mode 0600 from the first byte."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


@dataclass(frozen=True)
class Authority:
    """A CA whose certificate and issued files lie in one directory; see `create`."""

    directory: Path
    certificate: x509.Certificate
    key: _Key = field(repr=False)

    @classmethod
    def create(cls, directory: Path, *, days: float = 365) -> "Authority":
        """Make a CA `/DC=org/DC=example/O=Example/CN=Example CA`, valid for `days` from now.

        Writes `ca.pem` into `directory`, which is made if needed. The CA's key stays in memory.
        """
        directory.mkdir(parents=True, exist_ok=True)
        key = new_key("ec")
        name = subject("Example CA")
        start = datetime.now(UTC) - timedelta(days=1)
        certificate = (
            _builder(name, name, key, start, start + timedelta(days=days + 1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, SHA256())
        )
        (directory / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        return cls(directory=directory, certificate=certificate, key=key)

    @property
    def ca_file(self) -> Path:
        """The CA's certificate, PEM."""
        return self.directory / "ca.pem"

    def issue(
        self,
        common_name: str,
        *,
        key: KeyKind = "rsa",
        days: float = 90,
        not_before: datetime | None = None,
        san: Iterable[str] = (),
        client: bool = True,
        server: bool = True,
        signs: bool = True,
        extensions: Iterable[x509.ExtensionType] = (),
    ) -> Issued:
        """Issue `/DC=org/DC=example/O=Example/CN=<common_name>`.

        Args:
            common_name: usually a host name.
            key: "rsa" (2048), "rsa4096" or "ec" (P-256).
            days: length of validity.
            not_before: its begin (aware); one hour ago if not given.
            san: further host names or addresses; the common name is always one.
            client: may be used as a TLS client.
            server: may be used as a TLS server.
            signs: its key may sign.
            extensions: added as they are, not critical.

        Returns:
            The paths of certificate and key (PEM, the key with mode 0600); new files every time.
        """
        private = new_key(key)
        start = not_before or datetime.now(UTC) - timedelta(hours=1)
        builder = _builder(
            subject(common_name),
            self.certificate.subject,
            private,
            start,
            start + timedelta(days=days),
        )
        own = self._host_extensions(private, common_name, san)
        for extension in (*own, _usage(ca=False, signs=signs), *extensions):
            builder = builder.add_extension(extension, critical=False)
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        purposes += [ExtendedKeyUsageOID.SERVER_AUTH] * server
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        certificate = builder.sign(self.key, SHA256())
        stem = f"{common_name.replace('/', '_')}-{certificate.serial_number:x}"
        cert_path = self.directory / f"{stem}.pem"
        key_path = self.directory / f"{stem}.key"
        cert_path.write_bytes(certificate.public_bytes(Encoding.PEM))
        write_key(key_path, private)
        return Issued(cert_path, key_path)

    def _host_extensions(
        self, private: _Key, common_name: str, san: Iterable[str]
    ) -> tuple[x509.ExtensionType, ...]:
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        names = dict.fromkeys(name for name in (common_name, *san) if name.isascii())
        return (
            x509.BasicConstraints(ca=False, path_length=None),
            x509.SubjectKeyIdentifier.from_public_key(private.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer.value),
            x509.SubjectAlternativeName([_general_name(name) for name in names]),
        )


def subject(common_name: str) -> x509.Name:
    """The name `/DC=org/DC=example/O=Example/CN=<common_name>`."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "org"),
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "example"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    name: x509.Name, issuer: x509.Name, key: _Key, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name.replace(" ", "-"))


def _usage(*, ca: bool, signs: bool = True) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
