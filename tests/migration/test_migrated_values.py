"""An existing instance's values and configuration, as the charts of now take them."""

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hub.migration.cli import app
from hub.migration.report import Kind, Migration
from hub.migration.values import migrated
from tests.chart import helm
from tests.chart.umbrella import assembled, values_of

DATA = Path(__file__).parent / "data"
DOCUMENTED = DATA / "documented.yaml"
"""The sample of EGI's documentation, word for word."""
RECENT = DATA / "recent.yaml"


def of(path: Path) -> Migration:
    return migrated(yaml.safe_load(path.read_text(encoding="utf-8")))


def told(migration: Migration, kind: Kind) -> dict[str, str]:
    return {found.where: found.what for found in migration.of(kind)}


def config(migration: Migration) -> dict[str, Any]:
    found: dict[str, Any] = migration.values["jupyterhub"]["hub"]["config"]
    return found


def test_the_documented_sample_becomes_these_values() -> None:
    migration = of(DOCUMENTED)
    host = "<your notebooks host>"
    assert migration.values == {
        "jupyterhub": {
            "hub": {
                "config": {
                    "JupyterHub": {
                        "authenticator_class": "egi-checkin",
                        "spawner_class": "egi-spawner",
                    },
                    "EGICheckinAuthenticator": {
                        "checkin_host": "aai-demo.egi.eu",
                        "oauth_callback_url": f"https://{host}/hub/oauth_callback",
                        "scope": [
                            "openid",
                            "profile",
                            "email",
                            "offline_access",
                            "eduperson_scoped_affiliation",
                            "eduperson_entitlement",
                        ],
                    },
                    "Authenticator": {
                        "enable_auth_state": True,
                        "admin_users": ["<list of EGI Check-in users with admin powers>"],
                    },
                    "CryptKeeper": {"keys": ["<a unique crypto key>"]},
                },
                "db": {"upgrade": True},
            },
            "proxy": {"secretToken": "<some secret>", "service": {"type": "NodePort"}},
            "ingress": {
                "enabled": True,
                "annotations": {"kubernetes.io/tls-acme": "true"},
                "hosts": [host],
                "tls": [{"hosts": [host], "secretName": "acme-tls-notebooks"}],
            },
            "singleuser": {
                "storage": {
                    "capacity": "1Gi",
                    "dynamic": {
                        "pvcNameTemplate": "claim-{userid}",
                        "volumeNameTemplate": "vol-{userid}",
                        "storageAccessModes": ["ReadWriteMany"],
                    },
                },
                "memory": {"limit": "1G", "guarantee": "512M"},
                "cpu": {"limit": 2, "guarantee": 0.02},
                "defaultUrl": "/lab",
                "image": {"name": "eginotebooks/single-user", "tag": "c1b2a2a"},
            },
        },
        "notebooks-monitoring": {
            "enabled": True,
            "openStatus": True,
            "hubUrl": f"https://{host}",
        },
        "notebooks-accounting": {"hub": {"publicUrl": f"https://{host}/hub"}},
    }
    assert set(told(migration, Kind.DECIDE)) == {
        "auth.custom.config",
        "singleuser.image",
        "ingress.annotations",
        "who may log in",
        "notebooks-accounting.host",
        "notebooks-accounting.siteName",
    }
    assert set(told(migration, Kind.DROPPED)) == {
        "auth.admin.access",
        "hub.extraConfig.enable-lab.cmd",
        "hub.image",
        "hub.extraEnv.JUPYTER_ENABLE_LAB",
        "ingress.tls.enabled",
    }


@pytest.mark.parametrize("path", [DOCUMENTED, RECENT], ids=lambda path: path.stem)
def test_the_chart_takes_the_new_values(path: Path, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    text = yaml.safe_dump(of(path).values).replace("<your notebooks host>", "n.example.org")
    values.write_text(text, encoding="utf-8")
    decided = (
        "notebooks-accounting.siteName=EXAMPLE",
        "notebooks-accounting.ssm.existingSecret.name=hostcert",
        "notebooks-accounting.vo.default=vo.example.org",
        "jupyterhub.hub.config.EGICheckinAuthenticator.allow_all=true",
    )
    made = helm.render(assembled(tmp_path), values, settings=decided)
    settings = values_of(made, "jupyterhub")["hub"]["config"]["JupyterHub"]
    assert settings["authenticator_class"] == "egi-checkin"
    assert settings["spawner_class"] == "egi-spawner"


def test_settings_of_the_earlier_authenticator_get_their_new_names_and_meanings() -> None:
    found = config(of(RECENT))
    assert found["EGICheckinAuthenticator"] == {
        "username_claim": "sub",
        "issuer": "https://aai.example.org/auth/realms/egi",
        "token_margin_seconds": 660,  # the leeway was on top of auth_refresh_age
        "anonymous_prefix": "guest-",
        "allowed_groups": ["vo-a", "vo-b"],
        "service_prefix": "",
        "allow_anonymous": True,
        "primary_group_in_order": True,
    }
    claim = found["EGISpawner"]["volumes"][0]["persistentVolumeClaim"]
    assert claim == {"claimName": "claim-{userid}"}
    assert found["CryptKeeper"] == {"keys": ["made-up-crypt-key"]}  # else no token can be read


def test_services_lose_their_all_powers_and_their_programs_are_named() -> None:
    migration = of(RECENT)
    hub = migration.values["jupyterhub"]["hub"]
    assert hub["services"]["jwt"] == {"url": "http://jwt", "apiToken": "made-up-jwt-token"}
    assert hub["loadRoles"]["jwt"]["services"] == ["jwt"]
    decide = told(migration, Kind.DECIDE)
    assert "docs/hub/sharing.py" in decide["hub.services.share-manager.command"]
    assert "leave only what it needs" in decide["hub.services.jwt.admin"]


def test_code_stays_code_and_is_told_of() -> None:
    migration = of(RECENT)
    pieces = migration.values["jupyterhub"]["hub"]["extraConfig"]
    assert "class Ours(EGISpawner):" in pieces["hook"]
    assert "extra_labels" not in pieces["hook"]
    assert config(migration)["KubeSpawner"] == {"extra_labels": {"site": "example"}}
    said = [f.what for f in migration.of(Kind.DECIDE) if f.where == "hub.extraConfig.hook"]
    assert any("imports egi_notebooks_hub.egispawner" in what for what in said)


def test_an_old_setting_in_code_is_told_of() -> None:
    text = "if True:\n    c.EOSCNodeAuthenticator.personal_project_re = '^pp-.*$'\n"
    migration = migrated({"hub": {"extraConfig": text}})
    said = [f.what for f in migration.of(Kind.DECIDE) if f.where == "hub.extraConfig"]
    assert any(what.startswith("its code sets personal_project_re: ") for what in said)


def test_what_code_sets_before_stays_in_its_order() -> None:
    text = "if True:\n    c.JupyterHub.port = 1\nc.JupyterHub.port = 2\nc.JupyterHub.ip = '::'\n"
    migration = migrated({"hub": {"extraConfig": text}})
    assert config(migration) == {"JupyterHub": {"ip": "::"}}
    piece = migration.values["jupyterhub"]["hub"]["extraConfig"]["from-before"]
    assert piece == "if True:\n    c.JupyterHub.port = 1\nc.JupyterHub.port = 2"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("egi_notebooks_hub.egiauthenticator.EGICheckinAuthenticator", "egi-checkin"),
        ("egi_notebooks_hub.egiauthenticator.EOSCNodeAuthenticator", "eosc-node"),
        ("eoscauthenticator", "eosc-node"),
        ("egi_notebooks_hub.d4science.D4ScienceOauthenticator", "d4science"),
        ("ldapauthenticator.LDAPAuthenticator", "ldapauthenticator.LDAPAuthenticator"),
    ],
)
def test_authenticators_are_known_by_every_name(old: str, new: str) -> None:
    migration = migrated({"hub": {"config": {"JupyterHub": {"authenticator_class": old}}}})
    assert config(migration)["JupyterHub"]["authenticator_class"] == new


def test_generic_login_at_check_in_becomes_ours_and_elsewhere_stays() -> None:
    def at(host: str) -> Migration:
        url = f"https://{host}/auth/realms/egi/protocol/openid-connect/token"
        name = "oauthenticator.generic.GenericOAuthenticator"
        given = {"username_key": "sub", "token_url": url}
        return migrated(
            {"auth": {"type": "custom", "custom": {"className": name, "config": given}}}
        )

    here = config(at("aai.egi.eu"))
    assert here["JupyterHub"] == {"authenticator_class": "egi-checkin"}
    assert here["EGICheckinAuthenticator"] == {"username_claim": "sub"}
    elsewhere = config(at("idp.example.org"))
    assert elsewhere["GenericOAuthenticator"]["username_key"] == "sub"


def test_onedata_is_to_be_decided() -> None:
    migration = migrated({"hub": {"config": {"JupyterHub": {"spawner_class": "onedataspawner"}}}})
    assert "docs/hub/additions.py" in told(migration, Kind.DECIDE)["hub.config.JupyterHub"]


@pytest.mark.parametrize("path", [DOCUMENTED, RECENT], ids=lambda path: path.stem)
def test_what_is_shown_has_no_secret_and_what_is_written_is_the_owner_s(
    path: Path, tmp_path: Path
) -> None:
    shown = CliRunner().invoke(app, ["check", str(path)])
    assert shown.exit_code == 3
    for secret in ("made-up", "<some secret>", "crypto key>", "monitor token", "client_secret>"):
        assert secret not in shown.output
    new = tmp_path / "new.yaml"
    assert CliRunner().invoke(app, ["check", str(path), "--output", str(new)]).exit_code == 3
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert yaml.safe_load(new.read_text(encoding="utf-8")) == of(path).values


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    wrong = tmp_path / "values.yaml"
    for text, said in (
        ("a: [", "is not YAML at line 1, column 5: "),
        ("- 1", "is not a mapping of names to values"),
        ("hub: {extraConfig: {x: 'c.A.b = ('}}", "hub.extraConfig.x, line 1: is not Python"),
    ):
        wrong.write_text(text, encoding="utf-8")
        result = CliRunner().invoke(app, ["check", str(wrong)])
        assert result.exit_code == 2
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
