"""Raw tensors of the Open Inference Protocol: bodies of JSON and bytes, in both directions."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from tests.fakes.service import FakeService

pytestmark = pytest.mark.anyio

MODEL = "/v2/models/acme.support"
TWO: dict[str, Any] = {
    "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a b", "c"]}]
}
LENGTH = "inference-header-content-length"


def packed(*texts: str) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(one)) + one for one in encoded)


def unpacked(raw: bytes) -> list[str]:
    texts = []
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        texts.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return texts


def raw_request(*texts: str, **members: Any) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a request whose texts stand behind its JSON."""
    tail = packed(*texts)
    document = {
        "inputs": [
            {
                "name": "text",
                "shape": [len(texts)],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(tail)},
            }
        ],
        **members,
    }
    head = json.dumps(document).encode()
    return head + tail, {LENGTH: str(len(head)), "content-type": "application/octet-stream"}


def read_raw(answer: httpx.Response) -> dict[str, Any]:
    """Return the outputs of an answer by name: raw tensors as bytes, others as lists."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    tail = answer.content[length:]
    found: dict[str, Any] = {}
    for output in json.loads(answer.content[:length])["outputs"]:
        if "parameters" in output:
            assert "data" not in output
            size = output["parameters"]["binary_data_size"]
            found[output["name"]], tail = tail[:size], tail[size:]
            assert len(found[output["name"]]) == size
        else:
            found[output["name"]] = output["data"]
    assert not tail, "every byte belongs to an output"
    return found


def check_error(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"error"}
    assert isinstance(body["error"], str)
    assert body["error"].endswith(f"[{code}]")


async def test_raw_texts_and_raw_outputs_are_those_of_the_json(service: FakeService) -> None:
    service.publish("acme", "support")
    body, headers = raw_request("a b", "ä", parameters={"binary_data_output": True}, id="7")
    async with service.client() as client:
        plain = (
            await client.post(
                f"{MODEL}/infer",
                json={
                    **TWO,
                    "inputs": [
                        {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a b", "ä"]}
                    ],
                },
            )
        ).json()
        answer = await client.post(f"{MODEL}/infer", content=body, headers=headers)
    found = read_raw(answer)
    expected = {output["name"]: output["data"] for output in plain["outputs"]}
    assert list(found) == ["label", "score", "probabilities", "id"]
    assert unpacked(found["label"]) == expected["label"]
    for name in ("score", "probabilities"):
        numbers = np.frombuffer(found[name], dtype="<f4")
        assert numbers.tolist() == np.array(expected[name], dtype=np.float32).tolist()
    assert [service.signer.read(one).class_index for one in unpacked(found["id"])] == [
        service.signer.read(one).class_index for one in expected["id"]
    ]
    assert json.loads(answer.content[: int(answer.headers[LENGTH])])["id"] == "7"


async def test_each_output_is_raw_or_not_as_it_asks_to_be(service: FakeService) -> None:
    service.publish("acme", "support")
    outputs = [
        {"name": "embedding", "parameters": {"binary_data": True}},
        {"name": "label", "parameters": {"binary_data": False}},
        {"name": "score"},
    ]
    body, headers = raw_request("a", outputs=outputs)
    async with service.client() as client:
        found = read_raw(await client.post(f"{MODEL}/infer", content=body, headers=headers))
        plain = await client.post(
            f"{MODEL}/infer",
            json={**TWO, "outputs": [{"name": "embedding"}]},
        )
        [embedding] = plain.json()["outputs"]
        width = embedding["shape"][1]
        numbers = np.frombuffer(found["embedding"], dtype="<f4").tolist()
        assert (len(numbers), numbers) == (width, embedding["data"][:width])
        assert (type(found["label"]), type(found["score"])) == (list, list)
        body, headers = raw_request("a", outputs=outputs[1:])
        plain = await client.post(f"{MODEL}/infer", content=body, headers=headers)
        assert plain.headers["content-type"] == "application/json"
        assert LENGTH not in plain.headers


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body)


def deflated(body: bytes) -> bytes:
    return zlib.compress(body)


@pytest.mark.parametrize(("coding", "encode"), [("gzip", gzipped), ("deflate", deflated)])
async def test_bodies_may_be_compressed_and_the_length_counts_what_they_unpack_to(
    service: FakeService, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    service.publish("acme", "support")
    body, headers = raw_request(*["a b c"] * 50, parameters={"binary_data_output": True})
    headers |= {"content-encoding": coding, "accept-encoding": coding}
    async with service.client() as client:
        answer = await client.post(f"{MODEL}/infer", content=encode(body), headers=headers)
        assert answer.headers["content-encoding"] == coding
        assert int(answer.headers["content-length"]) < len(answer.content)
        assert len(unpacked(read_raw(answer)["label"])) == 50
        small = await client.post(f"{MODEL}/infer", json=TWO, headers={"accept-encoding": coding})
        assert "content-encoding" not in small.headers, "what is small stays as it is"
        wrong = await client.post(
            f"{MODEL}/infer", content=encode(body), headers=headers | {LENGTH: str(len(body) + 1)}
        )
        check_error(wrong, 400, "malformed")


RAW_SIZE = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {}}


@pytest.mark.parametrize(
    ("size", "length", "tail", "what"),
    [
        (5, "x", packed("a"), "Inference-Header-Content-Length is not a number"),
        (5, "0", packed("a"), "is 0"),
        (5, "999", packed("a"), "is 999, and the body has"),
        (6, None, packed("a"), "binary_data_size is 6, and 5 bytes are left"),
        (4, None, packed("a"), "1 bytes at the end of the body"),
        (-1, None, packed("a"), "whole number"),
        ("5", None, packed("a"), "whole number"),
        (True, None, packed("a"), "whole number"),
        (5, None, b"\xff\xff\xff\xffa", "element 0 says 4294967295 bytes, and 1 are left"),
        (3, None, b"\x01\x00\x00", "ends after 0 elements, at byte 0 of 3"),
        (10, None, packed("a", "b"), "goes on for 5 bytes behind its 1 elements"),
        (5, None, struct.pack("<I", 1) + b"\xff", "element 0 is not UTF-8"),
    ],
)
async def test_a_raw_body_that_lies_about_lengths_is_a_400_with_the_place(
    service: FakeService, size: object, length: str | None, tail: bytes, what: str
) -> None:
    service.publish("acme", "support")
    tensor = RAW_SIZE | {"parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {LENGTH: length or str(len(head))}
    async with service.client() as client:
        answer = await client.post(f"{MODEL}/infer", content=head + tail, headers=headers)
    check_error(answer, 400, "malformed")
    assert what in answer.json()["error"]


async def test_a_raw_tensor_without_the_header_is_a_400(service: FakeService) -> None:
    service.publish("acme", "support")
    tensor = RAW_SIZE | {"parameters": {"binary_data_size": 5}}
    head = json.dumps({"inputs": [tensor]}).encode()
    async with service.client() as client:
        check_error(await client.post(f"{MODEL}/infer", content=head), 400, "malformed")
        check_error(
            await client.post(f"{MODEL}/infer", content=head + packed("a")), 400, "malformed"
        )
