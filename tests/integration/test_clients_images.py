"""Clients as they come from PyPI, asking for images on a port of this machine."""

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from huggingface_hub import InferenceClient, constants
from huggingface_hub.utils import reset_sessions  # type: ignore[attr-defined]

from service.client.client import Client
from service.client.images import Image
from tests.fakes.images import BLUE, image_manifest, picture
from tests.fakes.listening import listening
from tests.fixtures_service import MakeService

MODEL = "acme.shelf"
FILE = picture()


@pytest.fixture
def url(service_with: MakeService) -> Iterator[str]:
    """The address of a server whose backbone reads images."""
    service = service_with(manifest=image_manifest())
    service.publish("acme", "shelf")
    with listening(service) as address:
        yield address


@pytest.fixture
def scores(url: str) -> dict[str, float]:
    """What the native route answers for `FILE`."""
    with Client(url) as client:
        (one,) = client.predict("acme", "shelf", [Image(FILE)]).predictions
    assert one.scores is not None
    return dict(one.scores)


def test_the_python_client_sends_images_among_others(url: str, tmp_path: Path) -> None:
    path = tmp_path / "blue.jpg"
    path.write_bytes(picture(BLUE, kind="JPEG"))
    with Client(url) as client:
        told = client.predict("acme", "shelf", [Image(FILE), Image.read(path)])
    assert len({one.score for one in told.predictions}) == 2


def test_hugging_face_s_client_classifies_a_file(
    url: str, scores: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    reset_sessions()
    path = tmp_path / "shelf.png"
    path.write_bytes(FILE)
    client = InferenceClient(model=f"{url}/hf/{MODEL}")
    best = sorted(scores, key=lambda label: -scores[label])
    given: tuple[bytes | str, ...] = (FILE, str(path))
    for image in given:
        told = client.image_classification(image)
        assert [one.label for one in told] == best
        assert told[0].score == pytest.approx(scores[best[0]])
    cut = client.image_classification(FILE, top_k=1)
    assert [one.label for one in cut] == best[:1]
    reset_sessions()


@pytest.mark.parametrize("binary", [True, False])
def test_triton_s_client_sends_files_as_bytes_or_as_base64(
    url: str, scores: dict[str, float], binary: bool
) -> None:
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    try:
        assert [one["name"] for one in client.get_model_metadata(MODEL)["inputs"]] == ["image"]
        given = triton.InferInput("image", [1], "BYTES")
        content = FILE if binary else base64.b64encode(FILE)
        given.set_data_from_numpy(np.array([content], dtype=np.object_), binary_data=binary)
        found = client.infer(MODEL, [given]).as_numpy("probabilities")
    finally:
        client.close()
    assert found[0] == pytest.approx(np.array(list(scores.values())))


def test_a_request_that_hugging_face_s_client_cannot_make_is_told_in_its_form(url: str) -> None:
    answer = httpx.post(f"{url}/hf/{MODEL}", content=b"no image")
    assert answer.status_code == 415
    assert answer.json()["error"].endswith("[wrong-media-type]")
