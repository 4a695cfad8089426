from typing import Any

import pytest

from service.api.first_steps import address_of, first_steps


def scope(host: bytes | None, **changed: Any) -> dict[str, Any]:
    headers = [] if host is None else [(b"host", host)]
    return {"scheme": "http", "server": ("127.0.0.1", 8000), "headers": headers, **changed}


@pytest.mark.parametrize(
    ("host", "told"),
    [
        (b"localhost:8000", "http://localhost:8000"),
        (b"tenantry.example.com", "http://tenantry.example.com"),
        (b"[::1]:8000", "http://[::1]:8000"),
        (b"10.0.0.1:80", "http://10.0.0.1:80"),
        (None, "http://localhost:8000"),
        (b"a;rm -rf /", "http://localhost:8000"),
        (b"$(x)", "http://localhost:8000"),
        (b"<script>", "http://localhost:8000"),
        (b"a\nb", "http://localhost:8000"),
        (b"\xff", "http://localhost:8000"),
        (b"a:b", "http://localhost:8000"),
    ],
)
def test_the_address_is_the_one_that_was_called_where_it_is_one(
    host: bytes | None, told: str
) -> None:
    assert address_of(scope(host)) == told


def test_another_port_takes_the_place_of_the_one_that_was_called() -> None:
    assert address_of(scope(b"host:9000"), 8000) == "http://host:8000"
    assert address_of(scope(b"[::1]"), 8000) == "http://[::1]:8000"
    assert address_of(scope(b"host", scheme="https")) == "https://host"


def test_every_command_carries_a_key_where_one_is_needed() -> None:
    for keyed in (False, True):
        steps = first_steps("http://h:1", keyed=keyed, images=False)
        commands = "\n".join(text for _, text in steps)
        assert commands.count("Authorization: Bearer $TENANTRY_KEY") == (5 if keyed else 0)
        assert commands.count("http://h:1/") == 5
        assert ("export TENANTRY_KEY" in commands) is keyed


def test_a_backbone_that_reads_images_is_asked_about_one() -> None:
    [*_, (_, texts)] = first_steps("http://h:1", keyed=False, images=False)
    [*_, (_, images)] = first_steps("http://h:1", keyed=False, images=True)
    assert "Where is my parcel?" in texts
    assert "--data-binary @photo.jpg" in images
