from pathlib import Path

import pytest

from service.client import calls
from service.client.errors import InvalidCall
from service.client.images import Image
from tests.fakes.images import picture, url_of


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("BMP", "image/bmp"),
    ],
)
def test_an_image_is_sent_as_a_data_url_of_its_own_type(
    kind: str, media_type: str, tmp_path: Path
) -> None:
    path = tmp_path / "shelf"
    path.write_bytes(picture(kind=kind))
    image = Image.read(path)
    assert image.name == "shelf"
    assert image.url() == url_of(picture(kind=kind), media_type)
    body = calls.predict("acme", "shelf", [image, "a text", ("a", "b")]).body
    assert body is not None
    assert image.url().encode() in body


def test_what_is_no_image_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="no image of a known type"):
        Image(b"a text").url()
    with pytest.raises(InvalidCall, match="cannot be read"):
        Image.read(tmp_path / "missing.png")
