import pytest

from monitoring.errors import InvalidMonitorSettings
from monitoring.triggers.posting import HttpPoster, checked


@pytest.mark.parametrize(
    "address",
    ["http://retrain.example/hook", "https://10.0.0.7:8443/a?token=b", "https://[::1]/hook"],
)
def test_addresses_of_the_web_are_taken(address: str) -> None:
    assert str(checked(address)) == address


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ftp://secret.example/", "must begin with http:// or https://"),
        ("file:///etc/secret", "must begin with"),
        ("secret.example/hook", "must begin with"),
        ("http://", "names no host"),
        ("https:///secret", "names no host"),
        ("https://secret.example/#part", "fragment"),
        ("https://secret.example:port/", "no URL"),
    ],
)
def test_other_addresses_are_refused_and_not_repeated(address: str, told: str) -> None:
    with pytest.raises(InvalidMonitorSettings, match=told) as caught:
        checked(address)
    assert "secret" not in str(caught.value)


def test_an_environment_that_nothing_can_be_sent_with_is_told_at_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/there/is/none.pem")
    with pytest.raises(InvalidMonitorSettings, match="SSL_CERT_FILE"):
        HttpPoster("https://retrain.example/hook")
    HttpPoster("https://127.0.0.1/hook")
