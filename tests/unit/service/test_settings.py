from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import InvalidSettings
from service.settings import Settings, read_settings, settings_reference, variable_of

NEEDED = {"bundle": Path("bundle"), "state": Path("state")}


def read(**given: object) -> Settings:
    return read_settings(**{**NEEDED, **given})


def test_the_defaults_are_open_and_on_the_loopback_address() -> None:
    settings = read()
    assert (settings.host, settings.port, settings.admin_key) == ("127.0.0.1", 8000, None)


def test_a_variable_gives_a_setting_and_an_option_goes_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TENANTRY_PORT", "9000")
    monkeypatch.setenv("TENANTRY_MAX_INPUTS", "5")
    settings = read(port=9001)
    assert (settings.port, settings.max_inputs) == (9001, 5)


def test_an_option_that_was_not_given_leaves_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_PORT", "9000")
    assert read(port=None).port == 9000


def test_an_unknown_variable_is_refused_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TENANTRY_MAX_INPUT", "5")
    with pytest.raises(InvalidSettings, match=r"TENANTRY_MAX_INPUT .*TENANTRY_MAX_INPUTS\?"):
        read()


def test_every_unknown_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_QQQ", "1")
    monkeypatch.setenv("TENANTRY_ZZZ", "1")
    with pytest.raises(InvalidSettings, match=r"(?s)TENANTRY_QQQ.*TENANTRY_ZZZ"):
        read()


def test_what_kubernetes_adds_is_told_apart_from_a_typing_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TENANTRY_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(InvalidSettings, match="enableServiceLinks"):
        read()


def test_the_variable_of_tests_and_benchmarks_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_DATA", "/data")
    read()


def test_the_sidecars_variables_are_its_own_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_MONITOR_PORT", "9000")
    monkeypatch.setenv("TENANTRY_MONITOR_NOBODY_KNOWS", "1")
    read()
    monkeypatch.setenv("TENANTRY_MONITORS", "1")
    with pytest.raises(InvalidSettings, match="TENANTRY_MONITORS"):
        read()


def test_a_value_that_cannot_be_is_refused_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_PORT", "many")
    with pytest.raises(InvalidSettings, match="TENANTRY_PORT"):
        read()


def test_what_is_needed_is_named_with_its_option() -> None:
    with pytest.raises(InvalidSettings, match=r"TENANTRY_STATE is needed, or --state"):
        read_settings(bundle="bundle")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com"])
def test_an_open_server_listens_on_the_loopback_address_alone(host: str) -> None:
    with pytest.raises(InvalidSettings, match="TENANTRY_ADMIN_KEY"):
        read(host=host)
    assert read(host=host, admin_key="secret").host == host


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "new\nline"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidSettings, match="TENANTRY_ADMIN_KEY") as refused:
        read(admin_key=key)
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize("given", ["MIT", "[MIT", '{"a": 1}', '"MIT"'])
def test_a_list_that_is_none_is_refused_with_how_to_write_one(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("TENANTRY_GATE_LICENSES", given)
    with pytest.raises(InvalidSettings, match="TENANTRY_GATE_LICENSES: must be a JSON list"):
        read()


def test_objectives_of_classes_are_read_from_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read().latency_objectives == {}
    monkeypatch.setenv("TENANTRY_CLASS_LATENCY_OBJECTIVES", '["gold=0.2", "batch=5"]')
    assert read().latency_objectives == {"gold": 0.2, "batch": 5.0}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("gold", "'gold' must give seconds above 0"),
        ("gold=", "'gold=' must give seconds above 0"),
        ("gold=fast", "'gold=fast' must give seconds above 0"),
        ("gold=0", "'gold=0' must give seconds above 0"),
        ("gold=-1", "'gold=-1' must give seconds above 0"),
        ("gold=nan", "'gold=nan' must give seconds above 0"),
        ("gold=inf", "at most 3600"),
        ("Gold=1", "'Gold=1' names no class"),
        ("=1", "'=1' names no class"),
        ("batch=7", "the class batch has two objectives"),
    ],
)
def test_an_objective_that_is_none_is_refused_with_its_line(
    monkeypatch: pytest.MonkeyPatch, line: str, told: str
) -> None:
    monkeypatch.setenv("TENANTRY_CLASS_LATENCY_OBJECTIVES", f'["batch=5", "{line}"]')
    with pytest.raises(InvalidSettings) as refused:
        read()
    assert str(refused.value).startswith("TENANTRY_CLASS_LATENCY_OBJECTIVES: ")
    assert told in str(refused.value)


@pytest.mark.parametrize("given", ["javascript:alert(1)", "grafana", "https://a b", "ftp://a", ""])
def test_an_address_that_is_no_page_s_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("TENANTRY_GRAFANA_URL", given)
    with pytest.raises(InvalidSettings, match="TENANTRY_GRAFANA_URL: must be an address such as"):
        read()


def test_the_key_is_in_no_text_of_the_settings() -> None:
    assert "hunter2hunter2" not in repr(read(admin_key="hunter2hunter2"))


def test_the_two_ports_must_differ() -> None:
    with pytest.raises(InvalidSettings, match="operator_port"):
        read(port=9000, operator_port=9000)
    assert read(port=0, operator_port=0).operator_port == 0


def test_the_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read().port = 1  # type: ignore[misc]


def test_the_reference_has_a_line_with_a_meaning_for_every_setting() -> None:
    page = settings_reference()
    for name, field in Settings.model_fields.items():
        assert f"| `{variable_of(name)}` |" in page
        assert field.description, f"{name} has no docstring"
        assert field.description in page


def test_nothing_is_recorded_unless_an_endpoint_is_set() -> None:
    settings = read()
    assert settings.otlp_endpoint is None
    assert (settings.trace_ratio, settings.trace_parent) == (0.05, "ignore")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("otlp_endpoint", "collector:4318"),
        ("otlp_endpoint", "http://user:secret@collector:4318"),
        ("otlp_endpoint", "http://collector:4318/v1/traces"),
        ("trace_tenants", ("acme",)),
        ("trace_tenants", ("acme=1.5",)),
        ("trace_tenants", ("acme=1", "acme=0")),
        ("trace_ratio", 1.5),
        ("trace_ratio", float("nan")),
        ("trace_followed_per_s_max", float("inf")),
        ("trace_parent", "always"),
    ],
)
def test_what_traces_cannot_mean_is_refused_by_its_variable(name: str, value: object) -> None:
    with pytest.raises(InvalidSettings, match=variable_of(name)) as refused:
        read(**{name: value})
    assert "secret" not in str(refused.value)


def test_the_endpoint_is_a_base_url_without_its_last_slash() -> None:
    assert read(otlp_endpoint="http://collector:4318/").otlp_endpoint == "http://collector:4318"
