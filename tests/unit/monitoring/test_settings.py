from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitoring.errors import InvalidMonitorSettings
from monitoring.settings import PREFIX, MonitorSettings, read_settings, variable_of


def read(**given: Any) -> MonitorSettings:
    return read_settings(**({"state": Path("state")} | given))


def test_the_defaults_are_open_and_on_the_loopback_address() -> None:
    settings = read()
    assert (settings.host, settings.port, settings.keyed) == ("127.0.0.1", 8001, False)


def test_a_variable_gives_a_setting_and_an_option_goes_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TENANTRY_MONITOR_PORT", "9000")
    monkeypatch.setenv("TENANTRY_MONITOR_LABELS_MIN", "20")
    settings = read(port=9001)
    assert (settings.port, settings.labels_min) == (9001, 20)
    assert read(port=None).port == 9000


def test_three_variables_are_the_service_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_STATE", "/elsewhere")
    monkeypatch.setenv("TENANTRY_ADMIN_KEY", "a-key")
    monkeypatch.setenv("TENANTRY_ADMIN_KEY_FILE", "/keys")
    settings = read_settings()
    assert settings.state == Path("/elsewhere")
    assert settings.admin_key is not None
    assert settings.admin_key.get_secret_value() == "a-key"
    assert settings.admin_key_file == Path("/keys")
    assert settings.keyed
    assert read_settings(state=Path("here")).state == Path("here"), "an option goes before it"
    assert [variable_of(name) for name in ("state", "admin_key", "port")] == [
        "TENANTRY_STATE",
        "TENANTRY_ADMIN_KEY",
        "TENANTRY_MONITOR_PORT",
    ]


@pytest.mark.parametrize("name", ["STATE", "ADMIN_KEY", "ADMIN_KEY_FILE"])
def test_what_is_shared_has_no_name_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(PREFIX + name, "x")
    with pytest.raises(InvalidMonitorSettings, match=f"{PREFIX}{name} is not a setting"):
        read()


def test_an_unknown_variable_is_refused_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TENANTRY_MONITOR_WINDOWS_ROWS", "5")
    with pytest.raises(InvalidMonitorSettings, match=r"mean TENANTRY_MONITOR_WINDOW_ROWS\?"):
        read()


def test_every_unknown_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_MONITOR_QQQ", "1")
    monkeypatch.setenv("tenantry_monitor_zzz", "1")
    with pytest.raises(InvalidMonitorSettings, match=r"(?s)MONITOR_QQQ.*monitor_zzz"):
        read()


def test_the_service_s_variables_are_its_own_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_BUNDLE", "/bundle")
    monkeypatch.setenv("TENANTRY_NOBODY_KNOWS", "1")
    read()


def test_what_kubernetes_adds_is_told_apart_from_a_typing_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TENANTRY_MONITOR_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(InvalidMonitorSettings, match="enableServiceLinks"):
        read()


def test_what_is_needed_is_named_with_its_option() -> None:
    with pytest.raises(InvalidMonitorSettings, match=r"^TENANTRY_STATE is needed, or --state$"):
        read_settings()


def test_every_value_that_cannot_be_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TENANTRY_MONITOR_PORT", "many")
    monkeypatch.setenv("TENANTRY_MONITOR_DRIFT_TOLERANCE", "2")
    with pytest.raises(InvalidMonitorSettings) as refused:
        read()
    lines = str(refused.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "TENANTRY_MONITOR_PORT",
        "TENANTRY_MONITOR_DRIFT_TOLERANCE",
    ]


NUMBERS = [
    name for name, field in MonitorSettings.model_fields.items() if field.annotation is float
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_no_number_is_endless(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(variable_of(name), value)
    with pytest.raises(InvalidMonitorSettings, match=variable_of(name)):
        read()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"bucket_s": 7}, "bucket_s 7 does not divide an hour"),
        ({"labels_min": 60, "label_window_max": 50}, "must ascend"),
        ({"label_window_max": 20_001}, "must ascend"),
        ({"webhook_url": "http://example.org"}, "set TENANTRY_MONITOR_WEBHOOK_SECRET"),
        ({"log_level": "loud"}, "TENANTRY_MONITOR_LOG_LEVEL"),
        ({"sample_rows": -1}, "TENANTRY_MONITOR_SAMPLE_ROWS"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidMonitorSettings, match=words):
        read(**given)


def test_what_goes_together_is_taken() -> None:
    for bucket_s in (1, 10, 60, 300, 3600):
        assert read(bucket_s=bucket_s).bucket_s == bucket_s
    url = "http://example.org"
    assert read(webhook_url=url, webhook_secret="x" * 32).webhook_url == url
    assert read(webhook_url=url, webhook_dry_run=True).webhook_secret is None


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "new\nline"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidMonitorSettings, match="TENANTRY_ADMIN_KEY") as refused:
        read(admin_key=key)
    assert not key or key not in str(refused.value)


def test_secrets_are_in_no_text_of_the_settings() -> None:
    settings = read(admin_key="hunter2hunter2", webhook_secret="s3cr3t" * 5)
    assert "hunter2" not in repr(settings)
    assert "s3cr3t" not in repr(settings)


def test_the_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read().port = 1  # type: ignore[misc]


def test_every_setting_has_a_meaning() -> None:
    for name, field in MonitorSettings.model_fields.items():
        assert field.description, f"{name} has no docstring"
