"""Images over every wire: what is taken, what is refused and how, and what is kept of it."""

import base64
import gc
import gzip
import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.schemas import EXAMPLE_IMAGE, PredictAnswer
from service.api.sent_images import SentImage
from service.engine.pixels import Pixels
from service.events.records import Undecodable
from service.registry.records import Logged, TenantSettings
from service.rpc.open_inference_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
)
from tests.fakes import hostile_pictures as hostile
from tests.fakes.images import BLUE, RED, TOKENS, image_manifest, picture, url_of
from tests.fakes.rpc import serving_rpc
from tests.fakes.service import FakeService
from tests.fixtures_service import MakeService

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("lasting_loop")]

PATH = "/v1/tenants/acme/adapters/support/predict"
OIP = "/v2/models/acme.support"
HF = "/hf/acme.support"
FILE = picture()
ANY = "application/octet-stream"


@pytest.fixture
def images(service_with: MakeService) -> FakeService:
    """Return a service whose backbone reads images, with a version that answers."""
    service = service_with(manifest=image_manifest(), base_embedding_ratio=0.0)
    service.publish("acme", "support")
    return service


async def post(service: FakeService, path: str, **options: Any) -> httpx.Response:
    async with service.client() as client:
        return await client.post(path, **options)


def check_problem(answer: httpx.Response, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert document["code"] == code
    detail: str = document["detail"]
    return detail


async def raw(
    service: FakeService, data: bytes, media_type: str, query: str = ""
) -> httpx.Response:
    return await post(service, PATH + query, content=data, headers={"content-type": media_type})


async def test_data_urls_are_answered_each_on_its_own(images: FakeService) -> None:
    urls = [url_of(picture(RED)), url_of(picture(BLUE, kind="JPEG"), "image/jpeg"), EXAMPLE_IMAGE]
    answer = await post(images, PATH, json={"inputs": urls, "embedding": True})
    assert answer.status_code == 200, answer.text
    told = PredictAnswer.model_validate(answer.json())
    assert len({one.id for one in told.predictions}) == 3
    assert len({one.score for one in told.predictions}) == 3
    assert all(one.embedding for one in told.predictions)
    assert "truncated" not in answer.json()["predictions"][0]
    (job,) = images.batcher.jobs
    assert all(isinstance(one, Pixels) and len(one) == TOKENS for one in job.texts)
    assert images.metric("tenantry_texts_total", tenant="acme") == 3
    assert images.metric("tenantry_tokens_total", tenant="acme") == 3 * TOKENS


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("GIF", "image/gif")],
)
async def test_a_body_can_be_one_image(images: FakeService, kind: str, media_type: str) -> None:
    data = picture(kind=kind)
    answer = await raw(images, data, media_type)
    assert answer.status_code == 200, answer.text
    other = await post(images, PATH, json={"inputs": [url_of(data, media_type)]})
    told, same = answer.json()["predictions"], other.json()["predictions"]
    assert [one["scores"] for one in told] == [one["scores"] for one in same]


async def test_the_query_says_of_a_raw_image_what_json_would_say(images: FakeService) -> None:
    query = "?scores=top&embedding=true&routing_key=user-42&group=north"
    answer = await raw(images, FILE, "image/png; charset=binary", query)
    assert answer.status_code == 200, answer.text
    (told,) = answer.json()["predictions"]
    assert "scores" not in told
    assert told["embedding"]
    (block,) = images.log.blocks
    assert block.group == "north"


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("?scores=some", 422, "scores"),
        ("?inputs=a", 422, "inputs"),
        ("?group=a&group=b", 422, "twice"),
        ("?group=", 422, "group"),
        ("?embedding=perhaps", 422, "embedding"),
        ("?%FF=1", 400, "query string"),
        ("?group", 400, "query string"),
    ],
)
async def test_a_query_that_means_nothing_is_refused(
    images: FakeService, query: str, status: int, words: str
) -> None:
    answer = await raw(images, FILE, "image/png", query)
    code = "unacceptable" if status == 422 else "malformed"
    assert words in check_problem(answer, status, code)
    assert not images.batcher.jobs


async def test_a_raw_image_may_be_compressed_and_is_bounded(service_with: MakeService) -> None:
    service = service_with(manifest=image_manifest(), max_body_bytes=2048)
    service.publish("acme", "support")
    headers = {"content-type": "image/png", "content-encoding": "gzip"}
    answer = await post(service, PATH, content=gzip.compress(FILE), headers=headers)
    assert answer.status_code == 200, answer.text
    large = FILE + bytes(4096)
    check_problem(await raw(service, large, "image/png"), 413, "body-too-large")
    answer = await post(service, PATH, content=gzip.compress(large), headers=headers)
    check_problem(answer, 413, "body-too-large")


@pytest.mark.parametrize(
    "given", ["I want my money back", "", {"text": "a"}, {"text": "a", "pair": "b"}]
)
async def test_a_text_is_refused_where_images_are_read(images: FakeService, given: object) -> None:
    answer = await post(images, PATH, json={"inputs": [url_of(FILE), given]})
    detail = check_problem(answer, 422, "unacceptable")
    assert detail.startswith("input 1 is a text")
    assert not images.batcher.jobs


async def test_an_image_is_refused_where_texts_are_read(service: FakeService) -> None:
    service.publish("acme", "support")
    for given in (url_of(FILE), {"text": url_of(FILE), "pair": "b"}):
        answer = await post(service, PATH, json={"inputs": ["a text", given]})
        assert check_problem(answer, 422, "unacceptable").startswith("input 1 is an image")
    detail = check_problem(await raw(service, FILE, "image/png"), 415, "wrong-media-type")
    assert "reads texts" in detail
    assert not service.batcher.jobs
    answer = await post(service, PATH, json={"inputs": ["my data: image/png is lost"]})
    assert answer.status_code == 200, answer.text


async def test_an_image_that_cannot_be_decoded_is_named_and_nothing_is_answered(
    images: FakeService,
) -> None:
    inputs = [url_of(FILE)] * 3 + [url_of(FILE[:-20])] + [url_of(b"no image at all")]
    answer = await post(images, PATH, json={"inputs": inputs})
    assert check_problem(answer, 422, "undecodable-image").startswith("inputs[3]: ")
    assert not images.batcher.jobs
    assert not images.log.blocks
    assert images.metric("tenantry_images_undecodable_total", tenant="acme") == 1


async def test_undecodable_images_are_told_to_the_log_as_a_count(images: FakeService) -> None:
    for _ in range(3):
        await raw(images, FILE[:50], "image/png")
    images.app.shared.undecodable.tell()
    images.app.shared.undecodable.tell()
    ((event,),) = images.log.writes
    assert isinstance(event, Undecodable)
    assert (event.tenant, event.adapter, event.version, event.role) == (
        "acme",
        "support",
        1,
        "live",
    )
    assert event.count == 3


async def test_a_tenant_that_logs_nothing_has_its_failures_counted_in_metrics_alone(
    images: FakeService,
) -> None:
    settings = TenantSettings(log=Logged(sample=0.0))
    images.registry.put_tenant("acme", settings, "tests")
    await raw(images, FILE[:50], "image/png")
    images.app.shared.undecodable.tell()
    assert not images.log.writes
    assert images.metric("tenantry_images_undecodable_total", tenant="acme") == 1


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (hostile.huge_png, "image-too-large"),
        (hostile.huge_jpeg, "image-too-large"),
        (hostile.huge_gif, "image-too-large"),
        (hostile.huge_webp, "image-too-large"),
        (hostile.huge_bmp, "image-too-large"),
        (hostile.lying_webp, "undecodable-image"),
        (lambda: b"", "undecodable-image"),
        (lambda: b"II*\x00" + bytes(64), "unsupported-image"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported-image"),
    ],
)
async def test_hostile_images_are_refused(images: FakeService, data: Any, code: str) -> None:
    answer = await post(images, PATH, json={"inputs": [url_of(data(), ANY)]})
    assert check_problem(answer, 422, code).startswith("inputs[0]: ")
    answer = await raw(images, data(), "image/png")
    if code == "unsupported-image":
        check_problem(answer, 415, "wrong-media-type")
    else:
        assert answer.status_code in (415, 422)  # what is declared as PNG may be another type
    assert not images.batcher.jobs


async def test_data_urls_that_are_none_are_refused(images: FakeService) -> None:
    for url in ("data:image/png,abc", "data:image/png;base64,%%%", "data:", "data:text/plain,a"):
        answer = await post(images, PATH, json={"inputs": [url]})
        assert check_problem(answer, 422, "undecodable-image").startswith("inputs[0]: ")
    answer = await post(images, PATH, json={"inputs": [url_of(FILE, "image/jpeg")]})
    assert "declared" in check_problem(answer, 422, "unsupported-image")


async def test_a_request_holds_so_many_images_and_no_more(service_with: MakeService) -> None:
    service = service_with(manifest=image_manifest(), max_images=2)
    service.publish("acme", "support")
    answer = await post(service, PATH, json={"inputs": [url_of(FILE)] * 3})
    assert "1 to 2" in check_problem(answer, 422, "unacceptable")
    answer = await post(service, PATH, json={"inputs": [url_of(FILE)] * 2})
    assert answer.status_code == 200


async def test_a_deadline_holds_for_decoding_too(images: FakeService) -> None:
    inputs = [url_of(picture(size=(2000, 2000)))] * 60
    answer = await post(images, PATH, json={"inputs": inputs}, headers={"x-timeout-ms": "1"})
    check_problem(answer, 504, "deadline-passed")
    assert not images.batcher.jobs


async def test_what_is_logged_of_images_are_figures_and_never_images(images: FakeService) -> None:
    settings = TenantSettings(log=Logged(text=True))
    images.registry.put_tenant("acme", settings, "tests")
    inputs = [url_of(picture(size=(40, 30))), url_of(picture(size=(64, 48)))]
    inputs.append(inputs[0])
    await post(images, PATH, json={"inputs": inputs})
    (block,) = images.log.blocks
    assert block.texts is None
    assert block.figures is None
    assert list(block.tokens) == list(block.unknown) == list(block.truncated) == [None] * 3
    figures = block.images
    assert figures is not None
    assert list(figures.widths) == [40, 64, 40]
    assert list(figures.heights) == [30, 48, 30]
    assert figures.bytes[0] == len(picture(size=(40, 30)))
    assert all(0.3 < one < 0.6 for one in figures.brightness)
    assert all(one is not None and one > 0 for one in figures.sharpness)
    first, second, third = figures.fingerprints
    assert first == third != second


# --- other wires -------------------------------------------------------------------------


def tensor(*data: str, **others: Any) -> dict[str, Any]:
    return {
        "name": "image",
        "shape": [len(data)],
        "datatype": "BYTES",
        "data": list(data),
        **others,
    }


async def native_scores(service: FakeService, data: bytes) -> dict[str, float]:
    answer = await raw(service, data, "image/png")
    scores: dict[str, float] = answer.json()["predictions"][0]["scores"]
    return scores


async def test_open_inference_takes_base64_in_json_and_data_urls(images: FakeService) -> None:
    encoded = base64.b64encode(FILE).decode()
    for given in (encoded, url_of(FILE)):
        answer = await post(images, f"{OIP}/infer", json={"inputs": [tensor(given)]})
        assert answer.status_code == 200, answer.text
        outputs = {one["name"]: one["data"] for one in answer.json()["outputs"]}
        scores = await native_scores(images, FILE)
        assert outputs["probabilities"] == pytest.approx(list(scores.values()))


async def test_open_inference_takes_files_as_raw_tensors(images: FakeService) -> None:
    tail = b"".join(struct.pack("<I", len(one)) + one for one in (FILE, picture(BLUE)))
    given = tensor(parameters={"binary_data_size": len(tail)}) | {"shape": [2]}
    del given["data"]
    head = json.dumps({"inputs": [given]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = await post(images, f"{OIP}/infer", content=head + tail, headers=headers)
    assert answer.status_code == 200, answer.text
    outputs = {one["name"]: one for one in answer.json()["outputs"]}
    assert outputs["label"]["shape"] == [2]
    scores = await native_scores(images, FILE)
    width = len(scores)
    assert outputs["probabilities"]["data"][:width] == pytest.approx(list(scores.values()))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([{**tensor("a"), "name": "text"}], "the input is 'image'"),
        ([tensor("a"), {**tensor("a"), "name": "pair"}], "the input is 'image'"),
        ([tensor("%%%")], "inputs[0]"),
        ([tensor("ä")], "inputs[0]"),
        ([tensor("a", parameters={"content_type": "str"})], "base64 is taken"),
        ([tensor("a", datatype="UINT8")], "BYTES"),
    ],
)
async def test_open_inference_refuses_what_is_no_image(
    images: FakeService, inputs: list[Any], words: str
) -> None:
    answer = await post(images, f"{OIP}/infer", json={"inputs": inputs})
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["error"]


async def test_open_inference_says_what_a_model_takes(images: FakeService) -> None:
    async with images.client() as client:
        metadata = (await client.get(OIP)).json()
        config = (await client.get(f"{OIP}/config")).json()
    assert [one["name"] for one in metadata["inputs"]] == ["image"]
    assert metadata["inputs"][0]["datatype"] == "BYTES"
    assert config["input"] == [{"name": "image", "data_type": "TYPE_STRING", "dims": [-1]}]


async def test_open_inference_over_grpc_takes_files(images: FakeService) -> None:
    request = ModelInferRequest(model_name="acme.support")
    given = request.inputs.add(name="image", datatype="BYTES", shape=[1])
    given.contents.bytes_contents.append(FILE)
    async with serving_rpc(images) as client:
        told = await client.call(
            "ModelMetadata", ModelMetadataRequest(name="acme.support"), ModelMetadataResponse
        )
        answer = await client.call("ModelInfer", request, ModelInferResponse)
    assert [one.name for one in told.inputs] == ["image"]
    outputs = {one.name: one for one in answer.outputs}
    found = np.array(outputs["probabilities"].contents.fp32_contents)
    scores = await native_scores(images, FILE)
    assert found == pytest.approx(list(scores.values()))


async def test_hugging_face_takes_a_file_or_base64(images: FakeService) -> None:
    scores = await native_scores(images, FILE)
    best = sorted(scores, key=lambda label: -scores[label])
    plain = await post(images, HF, content=FILE)
    typed = await post(images, HF, content=FILE, headers={"content-type": "image/png"})
    encoded = base64.b64encode(FILE).decode()
    one = {"inputs": encoded, "parameters": {"top_k": 2, "function_to_apply": "softmax"}}
    cut = await post(images, HF, json=one)
    listed = await post(images, HF, json={"inputs": [encoded, url_of(FILE)]})
    for answer in (plain, typed):
        assert answer.status_code == 200, answer.text
        assert [line["label"] for line in answer.json()] == best
    assert [line["label"] for line in cut.json()] == best[:2]
    assert [[line["label"] for line in row] for row in listed.json()] == [best, best]
    refused = await post(images, HF, json={"inputs": "not base64!"})
    assert refused.status_code == 422
    assert "inputs[0]" in refused.json()["error"]


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (FILE, "image/jpeg"),
        (FILE, "image/tiff"),
        (b"II*\x00" + bytes(64), "image/tiff"),
        (b"no image at all", ANY),
    ],
    ids=["of another", "of none that is taken", "TIFF", "no image"],
)
async def test_a_file_of_another_type_is_a_415_to_hugging_face_too(
    images: FakeService, data: bytes, media_type: str
) -> None:
    answer = await post(images, HF, content=data, headers={"content-type": media_type})
    assert answer.status_code == 415, answer.text
    same = await post(images, HF, json={"inputs": base64.b64encode(b"no image at all").decode()})
    assert same.status_code == 422
    assert not images.batcher.jobs


async def test_a_shadow_that_waits_does_not_keep_the_files(images: FakeService) -> None:
    images.publish("acme", "support", seed=2)
    images.registry.set_rollout("acme", "support", {"live": 1, "shadow": [2]}, None, "tests")
    answer = await raw(images, FILE, "image/png")
    assert answer.status_code == 200, answer.text
    (job,) = images.batcher.jobs
    assert len(job.shadows) == 1, "its observer is still there"
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is SentImage]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/tei/acme.support/predict", {"inputs": "a text"}, 422),
        ("/tei/acme.support/embed", {"inputs": "a text"}, 422),
        ("/classify", {"model": "acme.support", "input": "a text"}, 400),
    ],
)
async def test_wires_that_have_no_images_say_so_in_their_own_words(
    images: FakeService, path: str, body: dict[str, Any], status: int
) -> None:
    answer = await post(images, path, json=body)
    assert answer.status_code == status, answer.text
    assert "reads images" in str(answer.json()["error"])
    assert not images.batcher.jobs
