import pytest

from service.tracing.endpoint import check_endpoint


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("https://otlp.example.com/tenantry/", "https://otlp.example.com/tenantry"),
    ],
)
def test_a_collectors_base_url_is_taken(given: str, taken: str) -> None:
    assert check_endpoint(given) == taken


@pytest.mark.parametrize(
    "given",
    [
        "",
        "collector:4318",
        "grpc://collector:4317",
        "http://",
        "http://collector:port",
        "http://user:secret@collector:4318",
        "http://collector:4318?key=secret",
        "http://collector:4318/v1/traces",
        "http://collector:4318/v1/traces/",
        "http://collector\n:4318",
    ],
)
def test_anything_else_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(ValueError, match=r"must|Port|port") as refused:
        check_endpoint(given)
    assert "secret" not in str(refused.value)
