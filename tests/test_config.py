import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting import config
from accounting.config import load
from accounting.errors import SettingsError
from accounting.measure.promql.scope import Scope
from accounting.records.builder import Site
from accounting.records.identity import Privacy, VoRules
from notebooks_settings.values import seconds
from tests.private import secret


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ACCOUNTING_"):
            monkeypatch.delenv(name)


def refused(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load().vo_rules()
    assert caught.value.exit_code == 2
    said = str(caught.value)
    assert "\n" not in said
    return said


def refused_file(folder: Path, text: str) -> str:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(path)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(str(path), "FILE")


def test_the_environment_becomes_the_values_that_the_domain_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    secret(key, "0123456789abcdef0123\n")
    for name, value in {
        "SITE_NAME": "EGI-NOTEBOOKS",
        "CLOUD_COMPUTE_SERVICE": "notebooks.example.org",
        "PROMETHEUS__NAMESPACE": "hub",
        "PROMETHEUS__LABEL": "component=singleuser-server",
        "RECORD__CPU_FROM": "limits",
        "RECORD__DEFAULT_MEMORY_MB": "2048",
        "RECORD__BENCHMARK_TYPE": "HEPscore23",
        "RECORD__BENCHMARK": "12.5",
        "VO__DEFAULT": "vo.example.org",
        "VO__MAP": '{"urn:a.*": "/vo.a/users"}',
        "VO__PRIVACY": '{"vo.a": "pseudonym"}',
        "VO__PSEUDONYM_KEY_FILE": str(key),
        "VO__EXCLUDED_USERS": "monitor@example.org, robot",
        "LOG__JSON": "true",
    }.items():
        monkeypatch.setenv(f"ACCOUNTING_{name}", value)
    settings = load()
    assert settings.site() == Site(
        name="EGI-NOTEBOOKS",
        compute_service="notebooks.example.org",
        cpu_from_limits=True,
        default_memory_mb=2048,
        benchmark_type="HEPscore23",
        benchmark=12.5,
    )
    label = ("component", "singleuser-server")
    assert settings.scope() == Scope("hub", "jupyter-.*", "notebook", label, limits_first=True)
    assert settings.vo_rules() == VoRules(
        default="vo.example.org",
        overrides={"urn:a.*": "/vo.a/users"},
        privacy={"vo.a": Privacy.PSEUDONYM},
        pseudonym_key=b"0123456789abcdef0123",
        excluded_users=frozenset({"monitor@example.org", "robot"}),
    )
    assert settings.log.as_json


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("site_name: FILE\nprometheus:\n  namespace: hub\n  timeout: 1m30s\npoll:\n")
    monkeypatch.setenv("ACCOUNTING_SITE_NAME", "ENVIRONMENT")
    monkeypatch.setenv("ACCOUNTING_CONFIG", str(path))
    settings = load()
    assert settings.site_name == "ENVIRONMENT"
    assert settings.prometheus.namespace == "hub"
    assert settings.prometheus.timeout == 90
    assert settings.poll.step == 6 * 3600


def test_the_map_of_the_environment_replaces_the_files_map_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("vo:\n  map:\n    a: vo.a\n    b: vo.b\n")
    assert load(path).vo.map == {"a": "vo.a", "b": "vo.b"}
    monkeypatch.setenv("ACCOUNTING_VO__MAP", '{"b": "vo.c"}')
    assert load(path).vo.map == {"b": "vo.c"}


def test_empty_variables_count_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNTING_SSM__CA_FILE", "")
    monkeypatch.setenv("ACCOUNTING_RECORD__DEFAULT_CPU_COUNT", "")
    assert load().ssm.ca_file is None
    assert load().record.default_cpu_count is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("6h", 21600), ("1h30m", 5400), ("2d", 172800), ("600", 600)],
)
def test_durations_have_units_or_are_seconds(
    text: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__TIMEOUT", text)
    assert load().prometheus.timeout == seconds


WRONG = {
    ("SITE_NAME", "my site!"): "ACCOUNTING_SITE_NAME: 'my site!' is not a GOCDB site name"
    " (letters, digits, '.', '_' and '-') → for example ACCOUNTING_SITE_NAME=EGI-NOTEBOOKS",
    ("PROMETHEUS__TIMEOUT", "soon"): "ACCOUNTING_PROMETHEUS__TIMEOUT: 'soon' is not a duration"
    " such as 30s, 5m, 6h, 2d or a number → for example ACCOUNTING_PROMETHEUS__TIMEOUT=120s",
    ("PROMETHEUS__TIMEOUT", "nan"): "ACCOUNTING_PROMETHEUS__TIMEOUT: 'nan' is not a finite"
    " duration → for example ACCOUNTING_PROMETHEUS__TIMEOUT=120s",
    ("PROMETHEUS__URL", "prometheus:9090"): "ACCOUNTING_PROMETHEUS__URL: 'prometheus:9090' is"
    " not an http:// or https:// address → for example"
    " ACCOUNTING_PROMETHEUS__URL=http://prometheus-server.monitoring:9090",
    ("PROMETHEUS__POD", "jupyter-("): "ACCOUNTING_PROMETHEUS__POD: 'jupyter-(' is not a regular"
    " expression: missing ), unterminated subpattern at position 8 → for example"
    " ACCOUNTING_PROMETHEUS__POD=jupyter-.*",
    ("VO__MAP", "{a: b}"): "ACCOUNTING_VO__MAP: '{a: b}' is not JSON: Expecting property name"
    " enclosed in double quotes at column 2 → for example"
    ' ACCOUNTING_VO__MAP={"urn:example:group:physics.*": "/vo.physics.example.org/users"}',
    ("SSM__RECORDS_PER_MESSAGE", "2000"): "ACCOUNTING_SSM__RECORDS_PER_MESSAGE: '2000' is wrong:"
    " input should be less than or equal to 1000 → for example"
    " ACCOUNTING_SSM__RECORDS_PER_MESSAGE=500",
    ("SSM__TRANSPORT", "dirq"): "ACCOUNTING_SSM__TRANSPORT=dirq needs ACCOUNTING_SSM__DIRQ_PATH"
    " → see docs/settings.md",
    ("RECORD__BENCHMARK", "12"): "ACCOUNTING_RECORD__BENCHMARK_TYPE and"
    " ACCOUNTING_RECORD__BENCHMARK belong together → see docs/settings.md",
    ("VO__DEFAULT_FOR_UNMAPPED", "true"): "ACCOUNTING_VO__DEFAULT_FOR_UNMAPPED needs"
    " ACCOUNTING_VO__DEFAULT → see docs/settings.md",
    ("PROMETHEUS__NAMESPAC", "hub"): "ACCOUNTING_PROMETHEUS__NAMESPAC is not a setting → did you"
    " mean ACCOUNTING_PROMETHEUS__NAMESPACE?",
    ("PROMETHEUS", "{}"): "ACCOUNTING_PROMETHEUS is not a setting → did you mean"
    " ACCOUNTING_PROMETHEUS__URL?",
    ("SITENAME", "X"): "ACCOUNTING_SITENAME is not a setting → did you mean ACCOUNTING_SITE_NAME?",
    ("VO__PRIVACY", '{"vo.a": "hide"}'): "ACCOUNTING_VO__PRIVACY: 'hide' is wrong: input should"
    " be 'keep', 'pseudonym' or 'withhold' → for example"
    ' ACCOUNTING_VO__PRIVACY={"vo.private.example.org": "pseudonym"}',
}


@pytest.mark.parametrize(("given_", "said"), WRONG.items(), ids=lambda value: str(value)[:40])
def test_a_wrong_setting_is_named_with_its_problem_and_an_example(
    given_: tuple[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, value = given_
    assert refused(monkeypatch, **{f"ACCOUNTING_{name}": value}) == said


def test_several_wrong_settings_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, ACCOUNTING_SITE_NAME="a b", ACCOUNTING_SSM__AMS_PORT="http")
    assert "ACCOUNTING_SITE_NAME: 'a b'" in said
    assert "(and see ACCOUNTING_SSM__AMS_PORT)" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCOUNTING_API__TOKEN", "s3cret"),
        ("ACCOUNTING_PROMETHEUS__URL", "http://someone:s3cret@prometheus"),
        ("ACCOUNTING_PROMETHEUS__URL", "http://s3cret@prometheus"),
    ],
)
def test_a_secret_in_the_wrong_place_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "s3cret" not in refused(monkeypatch, **{name: value})


def test_what_kubernetes_sets_for_a_service_called_accounting_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "ACCOUNTING_SERVICE_HOST": "10.0.0.1",
        "ACCOUNTING_SERVICE_PORT": "8000",
        "ACCOUNTING_SERVICE_PORT_HTTP": "8000",
        "ACCOUNTING_PORT": "tcp://10.0.0.1:8000",
        "ACCOUNTING_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "ACCOUNTING_PORT_8000_TCP_ADDR": "10.0.0.1",
        "ACCOUNTING_API_SERVICE_HOST": "10.0.0.2",
    }.items():
        monkeypatch.setenv(name, value)
    assert load() == config.Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "site_name: X\nprometheus:\n  url: [http://x\n",
            (
                "the settings file FILE is not YAML at line 4, column 1: expected ',' or ']', but"
                " got '<stream end>' → correct that line; indentation and ': ' matter"
            ),
        ),
        (
            "prometheus:\n  ulr: http://x\n",
            (
                "'prometheus.ulr' in the settings file FILE is not a setting → did you mean"
                " prometheus.url?"
            ),
        ),
        (
            "sitename: X\n",
            ("'sitename' in the settings file FILE is not a setting → did you mean site_name?"),
        ),
        (
            "prometheus: http://x\n",
            (
                "'prometheus' in the settings file FILE is not a mapping →"
                " write its settings below it, such as 'url: …'"
            ),
        ),
        (
            "- a\n- b\n",
            (
                "the settings file FILE is not a mapping of names to values → write its"
                " settings as 'name: value'"
            ),
        ),
        (
            "1: 2\n",
            ("'1' in the settings file FILE is not a setting → see docs/settings.md for all names"),
        ),
        (
            "site_name: no\n",
            (
                "ACCOUNTING_SITE_NAME: False is wrong: input should be a valid string"
                " → for example ACCOUNTING_SITE_NAME=EGI-NOTEBOOKS"
            ),
        ),
        (
            "site_name: \x07\n",
            (
                "the settings file FILE is not YAML: unacceptable character #x0007:"
                " special characters are not allowed → remove that character"
            ),
        ),
        (
            "poll:\n  step: true\n",
            (
                "ACCOUNTING_POLL__STEP: True is not a duration → for example"
                " ACCOUNTING_POLL__STEP=6h"
            ),
        ),
    ],
)
def test_a_broken_file_is_refused_with_the_place(text: str, said: str, tmp_path: Path) -> None:
    assert refused_file(tmp_path, text) == said


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(tmp_path / "nothing.yaml")


def test_what_polling_needs_is_asked_for_with_an_example() -> None:
    with pytest.raises(SettingsError, match="for example ACCOUNTING_SITE_NAME=EGI-NOTEBOOKS"):
        load().site()
    with pytest.raises(SettingsError, match="for example ACCOUNTING_PROMETHEUS__NAMESPACE=jup"):
        load().scope()


def test_a_wrong_list_of_users_is_refused_without_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = refused(monkeypatch, ACCOUNTING_VO__EXCLUDED_USERS='["alice@example.org"')
    assert said.startswith("ACCOUNTING_VO__EXCLUDED_USERS: is not JSON: ")
    assert "alice" not in said


def test_users_are_kept_unless_a_retention_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().vo.user_retention_days is None
    said = refused(monkeypatch, ACCOUNTING_VO__USER_RETENTION_DAYS="0")
    assert said.startswith("ACCOUNTING_VO__USER_RETENTION_DAYS: '0' is wrong: ")


@pytest.mark.parametrize("content", [None, "", "short"])
def test_pseudonyms_need_a_key_that_cannot_be_guessed(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    if content is not None:
        secret(key, content)
    said = refused(
        monkeypatch,
        ACCOUNTING_VO__PRIVACY='{".*": "pseudonym"}',
        ACCOUNTING_VO__PSEUDONYM_KEY_FILE=str(key),
    )
    assert said.startswith("ACCOUNTING_VO__PSEUDONYM_KEY_FILE: ")
    assert not content or content not in said.replace("shorter", "")


def test_every_setting_has_a_description_and_an_example_that_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for setting in config.settings():
        assert (setting.field.description or "").endswith("."), setting.path
        assert setting.example, setting.path
        monkeypatch.setenv(setting.env, setting.example)
    load()


@given(st.text(max_size=20))
def test_no_text_makes_a_duration_that_is_not_finite(text: str) -> None:
    try:
        value = seconds(text)
    except ValueError:
        return
    assert isinstance(value, float)
    assert abs(value) < float("inf")
