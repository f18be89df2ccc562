import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier

from ssm.certificate import HostCertificate, distinguished_name
from ssm.errors import CertificateError
from ssm.testing.authority import Authority, Issued, new_key, write_key

Openssl = Callable[..., bytes]

START = datetime(2026, 1, 1, tzinfo=UTC)


def refusal(cert: Path, key: Path) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        HostCertificate.load(cert, key)
    return caught.value


def copy(path: Path, target: Path, mode: int = 0o600) -> Path:
    target.write_bytes(path.read_bytes())
    target.chmod(mode)
    return target


def test_the_dn_is_in_the_old_form_in_the_order_of_the_certificate(host: Issued) -> None:
    assert HostCertificate.load(*host).dn == "/DC=org/DC=example/O=Example/CN=host.example.org"


def of_subject(*parts: list[x509.NameAttribute[str]]) -> x509.Certificate:
    name = x509.Name([x509.RelativeDistinguishedName(part) for part in parts])
    key = new_key("ec")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .sign(key, SHA256())
    )


def test_the_dn_has_openssl_s_names_and_values_as_they_are(openssl: Openssl) -> None:
    """cases.md, 19."""
    values = {
        NameOID.COUNTRY_NAME: "NL",
        NameOID.STATE_OR_PROVINCE_NAME: "Zuid-Holland, =x",
        NameOID.LOCALITY_NAME: "Überlingen",
        NameOID.STREET_ADDRESS: "1 Example\\Street",
        NameOID.POSTAL_CODE: "1234",
        NameOID.ORGANIZATION_NAME: "名前",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "Unit/Part",
        NameOID.ORGANIZATION_IDENTIFIER: "X-1",
        NameOID.BUSINESS_CATEGORY: "Private Organization",
        NameOID.JURISDICTION_COUNTRY_NAME: "NL",
        NameOID.JURISDICTION_LOCALITY_NAME: "l",
        NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME: "p",
        ObjectIdentifier("2.5.4.41"): "name",
        NameOID.PSEUDONYM: "p",
        NameOID.GENERATION_QUALIFIER: "q",
        NameOID.X500_UNIQUE_IDENTIFIER: "x",
        NameOID.TITLE: "t",
        NameOID.GIVEN_NAME: "g",
        NameOID.SURNAME: "s",
        NameOID.INITIALS: "i",
        NameOID.SERIAL_NUMBER: "7",
        NameOID.DN_QUALIFIER: "q",
        NameOID.USER_ID: "u",
        NameOID.DOMAIN_COMPONENT: "example",
        NameOID.EMAIL_ADDRESS: "host@example.org",
        NameOID.UNSTRUCTURED_NAME: "n",
        NameOID.COMMON_NAME: "host.example.org",
    }
    certificate = of_subject(*([x509.NameAttribute(*of)] for of in values.items()))
    pem = certificate.public_bytes(Encoding.PEM)
    names = "sep_multiline,sname,utf8"
    printed = openssl("x509", "-noout", "-subject", "-nameopt", names, data=pem).decode()
    parts = [line.strip() for line in printed.splitlines()[1:]]
    assert len(parts) == len(values)
    assert distinguished_name(certificate) == "".join(f"/{part}" for part in parts)


def test_parts_of_several_values_and_unknown_names_are_as_the_receiver_reads_them() -> None:
    both = [
        x509.NameAttribute(NameOID.COMMON_NAME, "host.example.org"),
        x509.NameAttribute(NameOID.USER_ID, "robot"),
    ]
    unknown = [x509.NameAttribute(ObjectIdentifier("1.2.3.4.5.6"), "x")]
    found = distinguished_name(of_subject(unknown, both))
    assert found in {
        "/UNDEF=x/CN=host.example.org/UID=robot",
        "/UNDEF=x/UID=robot/CN=host.example.org",  # in the order of the encoding
    }


def test_a_value_of_two_bytes_a_letter_is_told_as_unfit(tmp_path: Path) -> None:
    wide = x509.NameAttribute(NameOID.COMMON_NAME, "host", _ASN1Type.BMPString)
    certificate = of_subject([wide])
    assert distinguished_name(certificate) == "/CN=\0h\0o\0s\0t"
    unfit = HostCertificate(certificate, new_key("ec"), tmp_path / "cert.pem").unfit
    assert unfit
    assert "BMPString" in unfit.message
    assert "UTF8String" in unfit.cure


def test_a_subject_in_latin_1_is_refused_with_the_kind_of_text_to_request(
    host: Issued, tmp_path: Path
) -> None:
    """As a TeletexString, by authorities of old."""
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Universitat")
    der = of_subject([organization]).public_bytes(Encoding.DER)
    latin = der.replace(b"\x0c\x0bUniversitat", b"\x14\x0bUniversit\xe4t")
    file = tmp_path / "cert.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(latin))
    error = refusal(file, host.key)
    assert "TeletexString" in error.message
    assert "UTF8String" in error.cure


@pytest.mark.parametrize("signs", [True, False])
def test_a_certificate_whose_key_may_not_sign_is_told(authority: Authority, signs: bool) -> None:
    """As authorities make them for servers that exchange keys by RSA only."""
    host = HostCertificate.load(*authority.issue("host.example.org", key="ec", signs=signs))
    assert (host.unfit is None) is signs
    if host.unfit:
        assert "digitalSignature" in host.unfit.message
        assert "digitalSignature" in host.unfit.cure


@pytest.mark.parametrize(("client", "is_fit"), [(True, True), (False, False)])
def test_a_certificate_that_no_client_may_show_is_told(
    authority: Authority, client: bool, is_fit: bool
) -> None:
    """cases.md, 20."""
    host = HostCertificate.load(*authority.issue("host.example.org", key="ec", client=client))
    assert host.may_log_in is is_fit
    if host.unfit:
        assert "clientAuth" in host.unfit.message
    assert (host.unfit is None) is is_fit


def test_a_certificate_without_any_named_usage_may_be_shown_by_clients(
    authority: Authority,
) -> None:
    issued = authority.issue("host.example.org", key="ec", client=False, server=False)
    assert HostCertificate.load(*issued).unfit is None


def test_a_slash_in_a_common_name_stays_as_gocdb_stores_it(authority: Authority) -> None:
    issued = authority.issue("host/host.example.org", key="ec")
    assert HostCertificate.load(*issued).dn == (
        "/DC=org/DC=example/O=Example/CN=host/host.example.org"
    )


def test_only_the_first_certificate_of_a_chain_is_the_hosts(
    authority: Authority, host: Issued, tmp_path: Path
) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_bytes(host.cert.read_bytes() + authority.ca_file.read_bytes())
    loaded = HostCertificate.load(chain, host.key)
    assert loaded.certificate == HostCertificate.load(*host).certificate


def test_a_chain_in_the_wrong_order_is_refused_with_the_right_order(
    authority: Authority, host: Issued, tmp_path: Path
) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_bytes(authority.ca_file.read_bytes() + host.cert.read_bytes())
    assert "put the host's own certificate first" in refusal(chain, host.key).cure


def test_a_key_of_another_certificate_is_refused(hosts: dict[str, Issued], host: Issued) -> None:
    assert "does not belong" in refusal(host.cert, hosts["rsa4096"].key).message
    assert "does not belong" in refusal(host.cert, hosts["ec"].key).message


def test_an_encrypted_key_is_refused_with_the_command_that_decrypts_it(
    host: Issued, tmp_path: Path
) -> None:
    encrypted = tmp_path / "hostkey.pem"
    encrypted.touch(0o600)
    encrypted.write_bytes(
        new_key("ec").private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
    )
    error = refusal(host.cert, encrypted)
    assert "is encrypted" in error.message
    assert "openssl pkey" in error.cure


@pytest.mark.parametrize("mode", [0o640, 0o660, 0o604, 0o602, 0o644, 0o777])
def test_our_own_key_that_others_may_open_is_refused_with_the_chmod(
    host: Issued, tmp_path: Path, mode: int
) -> None:
    key = copy(host.key, tmp_path / "hostkey.pem", mode)
    error = refusal(host.cert, key)
    assert f"mode {mode:04o}" in error.message
    assert f"chmod 400 {key}" in error.cure


def test_a_mounted_key_of_another_owner_may_be_read_through_the_group_only(
    host: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = copy(host.key, tmp_path / "hostkey.pem", 0o440)
    monkeypatch.setattr("ssm.certificate.os.geteuid", lambda: key.stat().st_uid + 1)
    HostCertificate.load(host.cert, key)
    for mode in (0o444, 0o460):
        key.chmod(mode)
        assert f"mode {mode:04o}" in refusal(host.cert, key).message


def test_missing_and_unreadable_files_are_named(host: Issued, tmp_path: Path) -> None:
    missing = tmp_path / "nothing.pem"
    assert refusal(missing, host.key).message == f"There is no host certificate at {missing}"
    assert refusal(host.cert, missing).message == f"There is no host key at {missing}"
    assert "cannot be read: Is a directory" in refusal(tmp_path, host.key).message


def test_files_that_are_not_pem_are_named(host: Issued, tmp_path: Path) -> None:
    der = tmp_path / "host.der"
    der.write_bytes(HostCertificate.load(*host).certificate.public_bytes(Encoding.DER))
    der.chmod(0o600)
    assert "is not a PEM certificate" in refusal(der, host.key).message
    assert "is not a PEM private key" in refusal(host.cert, der).message
    assert "is not a PEM certificate" in refusal(host.key, host.cert).message


def test_a_key_of_a_kind_that_cannot_sign_messages_is_refused(host: Issued, tmp_path: Path) -> None:
    key = tmp_path / "ed25519.pem"
    key.touch(0o600)
    key.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    assert "neither an RSA nor an elliptic-curve key" in refusal(host.cert, key).message


@pytest.mark.parametrize(
    ("common_name", "extension"),
    [
        ("proxy", None),
        ("limited proxy", None),
        ("12345678", "1.3.6.1.5.5.7.1.14"),
        ("12345678", "1.3.6.1.4.1.3536.1.222"),
    ],
)
def test_a_proxy_certificate_is_refused(
    authority: Authority, common_name: str, extension: str | None
) -> None:
    extensions = []
    if extension is not None:
        value = bytes.fromhex("300c300a06082b06010505071501")
        extensions.append(x509.UnrecognizedExtension(ObjectIdentifier(extension), value))
    error = refusal(*authority.issue(common_name, key="ec", extensions=extensions))
    assert "is a proxy certificate" in error.message
    assert "Use the host certificate itself" in error.cure


@pytest.mark.parametrize(
    ("after_start", "expected"),
    [
        (timedelta(seconds=-1), "is not valid before 2026-01-01 00:00 UTC"),
        (timedelta(0), None),
        (timedelta(days=99), None),
        (timedelta(days=99, seconds=1), "expires within 24 hours, on 2026-04-11 00:00 UTC"),
        (timedelta(days=100), "expired on 2026-04-11 00:00 UTC"),
    ],
)
def test_dates_are_checked_against_the_given_time(
    authority: Authority, after_start: timedelta, expected: str | None
) -> None:
    files = authority.issue("host.example.org", key="ec", days=100, not_before=START)
    host = HostCertificate.load(*files)
    if expected is None:
        host.check(START + after_start)
    else:
        with pytest.raises(CertificateError, match=expected):
            host.check(START + after_start)


def test_the_last_thirty_days_are_a_warning(authority: Authority) -> None:
    files = authority.issue("host.example.org", key="ec", days=100, not_before=START)
    host = HostCertificate.load(*files)
    assert host.not_after == datetime(2026, 4, 11, tzinfo=UTC)
    assert host.warnings(START + timedelta(days=70)) == ()
    assert host.days_left(START + timedelta(days=70)) == 30.0
    assert host.warnings(START + timedelta(days=90, hours=1)) == (
        (
            f"The host certificate {files.cert} expires in 9 days, on 2026-04-11. Renew it; it is "
            "refused in its last 24 hours."
        ),
    )


def test_a_renewed_certificate_is_used_without_a_restart(
    authority: Authority, tmp_path: Path
) -> None:
    old = authority.issue("host.example.org", key="ec")
    new = authority.issue("host.example.org", key="ec")
    cert, key = tmp_path / "hostcert.pem", tmp_path / "hostkey.pem"
    for files in (old, new):
        copy(files.cert, cert)
        copy(files.key, key)
        loaded = HostCertificate.load(cert, key)
        assert loaded.certificate == HostCertificate.load(*files).certificate


def test_a_printed_host_certificate_shows_no_key(host: Issued) -> None:
    assert "key" not in repr(HostCertificate.load(*host)).lower()


def test_the_authority_writes_keys_that_only_the_owner_may_read(
    authority: Authority, tmp_path: Path
) -> None:
    _, key = authority.issue("host.example.org", key="ec")
    assert key.stat().st_mode & 0o777 == 0o600
    write_key(tmp_path / "k", new_key("ec"))
    with pytest.raises(FileExistsError):
        write_key(tmp_path / "k", new_key("ec"))


def test_openssl_accepts_what_the_authority_issues(
    authority: Authority, hosts: dict[str, Issued], openssl: Openssl
) -> None:
    for files in hosts.values():
        for purpose in ("sslclient", "sslserver"):
            printed = openssl(
                "verify",
                "-x509_strict",
                "-purpose",
                purpose,
                "-CAfile",
                authority.ca_file,
                files.cert,
            )
            assert printed.endswith(b": OK\n")
