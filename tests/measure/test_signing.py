"""AWS' managed Prometheus takes signed requests only (cases.md, 16): a stand-in checks them."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from accounting.config import load
from accounting.doctor.examination import examine
from accounting.errors import SettingsError, SourceRefused
from accounting.measure.source.connection import Access
from accounting.measure.source.prometheus import Source
from accounting.wiring.source import source_of
from tests.measure.test_connection import AT, store
from tests.private import secret

KEY, OTHER = "wJalrXUtnFEMI/EXAMPLEKEY", "rotated/EXAMPLEKEY"
REGION = "eu-west-1"


def credentials(folder: Path, key: str = KEY, more: str = "") -> Path:
    said = "# für den Hub\n[hub]\naws_access_key_id = AKIDEXAMPLE\n"
    text = f"{said}aws_secret_access_key = {key}\n{more}"
    return secret(folder / "credentials", text)


def signature(
    method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], key: str
) -> str:
    """As AWS computes it (SigV4), from what was received."""
    listed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
    is_get = method == "GET"
    query = "&".join(f"{quote(n, '')}={quote(v, '')}" for n, v in sorted(params.items()))
    body = b"" if is_get else urlencode(params).encode()
    canonical = "\n".join(
        [
            method,
            quote(path, "/-_.~"),
            query if is_get else "",
            *(f"{name}:{headers[name].strip()}" for name in listed.split(";")),
            "",
            listed,
            sha256(body).hexdigest(),
        ]
    )
    at = headers["x-amz-date"]
    scope = f"{at[:8]}/{REGION}/aps/aws4_request"
    signing = f"AWS4{key}".encode()
    for part in scope.split("/"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    return hmac.new(signing, text.encode(), "sha256").hexdigest()


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_every_request_is_signed_with_the_credentials_as_they_are_now(
    tmp_path: Path, method: str
) -> None:
    file = credentials(tmp_path)
    access = Access(aws_region=REGION, aws_credentials_file=file, aws_profile="hub")
    with (
        store(lambda m, *_: (200 if m == method else 405, {})) as (url, asked),
        Source(f"{url}/workspaces/ws-1", access=access) as source,
    ):
        source.vector('sum by (a) (b{c="d ž"}) + 1', AT)
        file.write_text(file.read_text().replace(KEY, OTHER) + "aws_session_token = t/0=\n")
        source.vector("up", AT)
    answered = [one for one in asked if one[0] == method]
    for key, (_, path, params, headers) in zip((KEY, OTHER), answered, strict=True):
        assert headers["authorization"].endswith(signature(method, path, params, headers, key))
        assert path == "/workspaces/ws-1/api/v1/query"
    assert "x-amz-security-token" not in answered[0][3]
    assert answered[1][3]["x-amz-security-token"] == "t/0="


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[other]\nx = 1\n", r"no section \[hub\]"),
        ("no file of that kind", r"no section \[hub\]"),
        ("[hub]\naws_access_key_id = A\n", "it has no aws_secret_access_key"),
    ],
)
def test_a_file_without_credentials_is_one_clear_error(
    tmp_path: Path, content: str, said: str
) -> None:
    file = secret(tmp_path / "credentials", content)
    access = Access(aws_region=REGION, aws_credentials_file=file, aws_profile="hub")
    with Source("http://127.0.0.1:9", access=access) as source:
        with pytest.raises(SourceRefused, match=said) as caught:
            source.vector("up", AT)
        assert "AWS_CREDENTIALS_FILE" in caught.value.cure


def test_the_settings_reach_the_store_and_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = credentials(tmp_path)
    with store(lambda *_: (200, {})) as (url, asked):
        for name, value in _environment(url, file).items():
            monkeypatch.setenv(name, value)
        settings = load()
        with source_of(settings) as source:
            source.vector("up", AT)
        list(examine(settings, AT))
    assert len(asked) > 1
    assert all("AWS4-HMAC-SHA256" in headers["authorization"] for *_, headers in asked)


def test_a_region_without_a_file_is_refused_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _environment("http://localhost:1", credentials(tmp_path)).items():
        if not name.endswith("AWS_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="AWS_CREDENTIALS_FILE belong together"):
        load()


def test_a_store_that_wants_a_signature_is_told_by_the_cure() -> None:
    refusal = b'{"message":"Missing Authentication Token"}'
    with (
        store(lambda *_: (403, {}), refusal) as (url, _),
        Source(url) as source,
        pytest.raises(SourceRefused) as caught,
    ):
        source.vector("up", AT)
    assert "ACCOUNTING_PROMETHEUS__AWS_REGION" in caught.value.cure


def _environment(url: str, file: Path) -> dict[str, str]:
    here = "ACCOUNTING_PROMETHEUS__"
    return {
        "ACCOUNTING_SITE_NAME": "SITE",
        "ACCOUNTING_DATABASE_URL": f"sqlite:///{file.parent}/a.db",
        f"{here}URL": url,
        f"{here}NAMESPACE": "hub",
        f"{here}AWS_REGION": REGION,
        f"{here}AWS_CREDENTIALS_FILE": str(file),
        f"{here}AWS_PROFILE": "hub",
    }
