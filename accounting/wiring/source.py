"""Builds the metrics source from the settings."""

from dataclasses import fields, replace

from accounting.config import PREFIX, Settings
from accounting.config.secret import read_secret
from accounting.errors import SettingsError
from accounting.measure.source.connection import Access
from accounting.measure.source.prometheus import Source


def source_of(settings: Settings) -> Source:
    """The metrics source.

    Raises:
        SettingsError: a certificate or a secret's file cannot be used.
        SourceRefused: a file has no credentials for AWS.
    """
    prometheus = settings.prometheus
    access = access_of(settings)
    for path in (prometheus.password_file, *prometheus.header_files.values()):
        if path is not None:
            setting = "password_file" if path == prometheus.password_file else "header_files"
            read_secret(path, f"prometheus.{setting}")
    if access.aws_credentials_file is not None:
        read_secret(access.aws_credentials_file, "prometheus.aws_credentials_file")
    if access.signing:
        access.signing.auth()
    try:
        return Source(
            prometheus.url,
            timeout_seconds=prometheus.timeout,
            access=access,
            most_bytes=prometheus.most_bytes,
        )
    except OSError as exc:  # ssl.SSLError is one
        raise _unusable(access, exc) from exc


def access_of(settings: Settings) -> Access:
    """What the metrics' store wants to be shown."""
    return Access(**{part.name: getattr(settings.prometheus, part.name) for part in fields(Access)})


def _unusable(access: Access, exc: OSError) -> SettingsError:
    """Which of the certificates cannot be used."""
    here = f"{PREFIX}PROMETHEUS__"
    try:
        replace(access, client_cert=None).tls()
    except OSError:
        return SettingsError(
            f"{here}CA_FILE: {access.ca_file} cannot be used:"
            f" {exc.strerror or 'no certificates in it'}",
            "give a PEM file with the certificate authority of Prometheus",
        )
    why = "no such file" if isinstance(exc, FileNotFoundError) else "not a certificate and its key"
    return SettingsError(
        f"{here}CLIENT_CERT and {here}CLIENT_KEY: {access.client_cert} cannot be used: {why}",
        "give a PEM certificate and its own key, not encrypted, readable for this program",
    )
