"""Clients of the Open Inference Protocol as they come from PyPI, against a real server."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio

from tests.clients.environment import environment

ROOT = Path(__file__).resolve().parents[2]
MODEL = "acme.support"
TEXTS = ["a b", "ä"]
OUTPUTS = ("label", "score", "probabilities", "id", "embedding")


@dataclass(frozen=True)
class Serving:
    """Where the server listens, and a key that it knows."""

    url: str
    grpc: str
    key: str

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def headers(self) -> dict[str, str]:
        """Headers of their own for each request: Triton's client writes into what it is given."""
        return {"authorization": f"Bearer {self.key}"}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.serving_rpc", tmp_path_factory.mktemp("state")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, process.communicate()[1]
        yield Serving(**json.loads(said))
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors


def texts(*, binary: bool = True, column: bool = False, count: int = 1) -> list[Any]:
    """Return the inputs of a request, with the texts `count` times."""
    given = np.array(TEXTS * count, dtype=np.object_)
    shaped = given.reshape(-1, 1) if column else given
    text = triton.InferInput("text", list(shaped.shape), "BYTES")
    text.set_data_from_numpy(shaped, binary_data=binary)
    return [text]


def outputs(*names: str, binary: bool) -> list[Any]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def numbers(answer: Any) -> dict[str, Any]:
    """Return what an answer says, its id left out, which is new each time."""
    told = {
        output["name"]: answer.as_numpy(output["name"])
        for output in answer.get_response()["outputs"]
    }
    return {
        "labels": [
            one.decode() if isinstance(one, bytes) else one for one in told["label"].tolist()
        ],
        "probabilities": told["probabilities"].tolist(),
    }


# --- Triton's over HTTP


@pytest.fixture
def client(serving: Serving) -> Iterator[Any]:
    with triton.InferenceServerClient(serving.address) as made:
        yield made


@pytest.fixture(scope="module")
def expected(serving: Serving) -> dict[str, Any]:
    """What the server says in JSON alone."""
    with triton.InferenceServerClient(serving.address) as made:
        answer = made.infer(
            MODEL,
            texts(binary=False),
            outputs=outputs("label", "probabilities", binary=False),
            headers=serving.headers,
        )
    told = numbers(answer)
    assert len(told["labels"]) == 2
    assert np.array(told["probabilities"]).shape == (2, 3)
    return told


def test_tritons_client_sends_and_reads_binary_tensors_by_default(
    serving: Serving, client: Any, expected: dict[str, Any]
) -> None:
    answer = client.infer(MODEL, texts(), headers=serving.headers, request_id="42")
    response = answer.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == (MODEL, "1", "42")
    assert [output["name"] for output in response["outputs"]] == list(OUTPUTS[:4])
    assert all("data" not in output for output in response["outputs"])
    assert answer.as_numpy("score").tolist() == np.max(expected["probabilities"], axis=1).tolist()
    assert [len(one) for one in answer.as_numpy("id")] == [48, 48]
    assert numbers(answer) == expected


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("column", [True, False])
def test_tritons_client_mixes_binary_and_json(
    serving: Serving,
    client: Any,
    expected: dict[str, Any],
    *,
    binary_in: bool,
    binary_out: bool,
    column: bool,
) -> None:
    answer = client.infer(
        MODEL,
        texts(binary=binary_in, column=column),
        outputs=[
            *outputs("label", binary=binary_out),
            *outputs("probabilities", binary=not binary_out),
            *outputs("embedding", binary=True),
        ],
        headers=serving.headers,
    )
    assert numbers(answer) == expected
    assert answer.as_numpy("embedding").shape[0] == 2


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("answer_coding", [None, "gzip", "deflate"])
def test_tritons_client_compresses_both_ways(
    serving: Serving,
    client: Any,
    expected: dict[str, Any],
    request_coding: str | None,
    answer_coding: str | None,
) -> None:
    answer = client.infer(
        MODEL,
        texts(count=40),
        headers=serving.headers,
        request_compression_algorithm=request_coding,
        response_compression_algorithm=answer_coding,
    )
    assert numbers(answer)["probabilities"] == expected["probabilities"] * 40


def test_tritons_client_asks_without_waiting(serving: Serving, expected: dict[str, Any]) -> None:
    with triton.InferenceServerClient(serving.address, concurrency=4) as client:
        asked = [client.async_infer(MODEL, texts(), headers=serving.headers) for _ in range(8)]
        assert [numbers(one.get_result()) for one in asked] == [expected] * 8


def test_tritons_client_reads_health_metadata_configuration_and_statistics(
    serving: Serving, client: Any
) -> None:
    headers = serving.headers
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL, headers=headers)
    assert client.is_model_ready(MODEL, "1", headers=headers)
    assert not client.is_model_ready(MODEL, "7", headers=headers)
    assert client.get_server_metadata()["name"] == "tenantry"
    metadata = client.get_model_metadata(MODEL, headers=headers)
    assert metadata["versions"] == ["1"]
    config = client.get_model_config(MODEL, headers=headers)
    assert {one["name"] for one in config["output"]} == set(OUTPUTS)
    index = client.get_model_repository_index(headers=headers)
    assert [(line["name"], line["version"], line["state"]) for line in index] == [
        (MODEL, "1", "READY")
    ]
    for arguments in ((), (MODEL,), (MODEL, "1")):
        before = client.get_inference_statistics(*arguments, headers=headers)["model_stats"]
        client.infer(MODEL, texts(), headers=headers)
        after = client.get_inference_statistics(*arguments, headers=headers)["model_stats"]
        assert after[0]["inference_count"] - before[0]["inference_count"] == 2


def test_tritons_client_shows_our_words_for_errors(serving: Serving, client: Any) -> None:
    def refused(*arguments: Any, **options: Any) -> tuple[str, str]:
        with pytest.raises(triton.InferenceServerException) as refusal:
            client.infer(*arguments, **options)
        return refusal.value.status(), refusal.value.message()

    status, message = refused("acme.nothing", texts(), headers=serving.headers)
    assert (status, message.endswith("[unknown-adapter]")) == ("404", True)
    status, message = refused("globex.support", texts(), headers=serving.headers)
    assert (status, message.endswith("[unknown-tenant]")) == ("404", True)
    status, message = refused(MODEL, texts())
    assert (status, message.endswith("[not-authenticated]")) == ("401", True)
    classes = [triton.InferRequestedOutput("label", class_count=2)]
    status, message = refused(MODEL, texts(), outputs=classes, headers=serving.headers)
    assert (status, "classification is not offered" in message) == ("422", True)
    with pytest.raises(triton.InferenceServerException, match="come in by upload"):
        client.load_model(MODEL, headers=serving.headers)
    with pytest.raises(triton.InferenceServerException, match="no such route"):
        client.get_log_settings(headers=serving.headers)


def test_tritons_client_passes_the_routing_key_as_a_parameter(
    serving: Serving, client: Any, expected: dict[str, Any]
) -> None:
    chosen = {"routing_key": "user-42", "group": "north"}
    answer = client.infer(MODEL, texts(), headers=serving.headers, parameters=chosen)
    assert numbers(answer) == expected
    wrong = {"routing_key": 42}
    with pytest.raises(triton.InferenceServerException, match="routing_key must be a text"):
        client.infer(MODEL, texts(), headers=serving.headers, parameters=wrong)


def test_tritons_asynchronous_client_does_the_same(
    serving: Serving, expected: dict[str, Any]
) -> None:
    async def ask() -> None:
        async with triton_aio.InferenceServerClient(serving.address) as client:
            assert await client.is_server_ready()
            assert await client.is_model_ready(MODEL, headers=serving.headers)
            config = await client.get_model_config(MODEL, headers=serving.headers)
            assert config["name"] == MODEL
            index = await client.get_model_repository_index(headers=serving.headers)
            assert [line["name"] for line in index] == [MODEL]
            asked = [client.infer(MODEL, texts(), headers=serving.headers) for _ in range(8)]
            assert [numbers(one) for one in await asyncio.gather(*asked)] == [expected] * 8
            plain = await client.infer(
                MODEL,
                texts(binary=False),
                outputs=outputs("label", "probabilities", binary=False),
                headers=serving.headers,
            )
            assert numbers(plain) == expected
            for coding in ("gzip", "deflate"):
                packed = await client.infer(
                    MODEL,
                    texts(count=40),
                    headers=serving.headers,
                    request_compression_algorithm=coding,
                    response_compression_algorithm=coding,
                )
                assert numbers(packed)["labels"] == expected["labels"] * 40
            # aiohttp asks for compressed answers of itself, and the client reads them.
            large = await client.infer(MODEL, texts(count=40), headers=serving.headers)
            assert numbers(large)["labels"] == expected["labels"] * 40
            with pytest.raises(triton.InferenceServerException, match="unknown-adapter"):
                await client.infer("acme.nothing", texts(), headers=serving.headers)

    asyncio.run(ask())


# --- clients with pins of their own


def test_tritons_client_over_grpc(serving: Serving, expected: dict[str, Any]) -> None:
    seen = environment("triton_grpc").run("triton_grpc_client.py", serving.grpc, serving.key)
    sync, aio = seen["sync"], seen["aio"]
    assert (sync["live"], sync["ready"], sync["model_ready"]) == (True, True, True)
    assert sync["server"]["name"] == "tenantry"
    assert "binary_tensor_data" in sync["server"]["extensions"]
    assert sync["metadata"]["versions"] == ["1"]
    assert {one["name"] for one in sync["config"]["config"]["output"]} == set(OUTPUTS)
    assert sync["config"]["config"]["input"][0]["data_type"] == "TYPE_STRING"
    assert [line["name"] for line in sync["index"]["models"]] == [MODEL]
    for name in ("infer", "async_infer", "version", "gzip", "keyed", "all"):
        told = sync[name]
        assert (told["model"], told["version"]) == (MODEL, "1"), name
        assert told["digest"].startswith("sha256:")
        assert told["labels"] == expected["labels"], name
        assert told["probabilities"] == expected["probabilities"], name
    assert sync["infer"]["id"] == "42"
    assert list(sync["infer"]["shapes"]) == list(OUTPUTS[:4])
    assert sync["all"]["shapes"]["embedding"][0] == 2
    for name in ("statistics", "all_statistics"):
        [line] = sync[name]["model_stats"]
        assert (line["name"], int(line["inference_count"]) >= 12) == (MODEL, True)
    assert sync["unknown"][0] == "StatusCode.NOT_FOUND"
    assert sync["unknown"][1].endswith("[unknown-adapter]")
    assert sync["no_key"][0] == "StatusCode.UNAUTHENTICATED"
    assert sync["load"][0] == "StatusCode.UNIMPLEMENTED"
    assert sync["late"][0] == "StatusCode.DEADLINE_EXCEEDED"
    assert (aio["live"], aio["model_ready"]) == (True, True)
    assert [told["probabilities"] for told in aio["infer"]] == [expected["probabilities"]] * 20


def test_kserves_clients(serving: Serving, expected: dict[str, Any]) -> None:
    seen = environment("kserve").run("kserve_client.py", serving.url, serving.grpc, serving.key)
    rest, grpc = seen["rest"], seen["grpc"]
    for wire in (rest, grpc):
        assert (wire["live"], wire["ready"], wire["model_ready"]) == (True, True, True)
    for told in (rest["listed"], rest["json"], rest["binary"], grpc["listed"], grpc["raw"]):
        assert told["model"] == MODEL
        assert told["labels"] == expected["labels"]
        assert np.allclose(told["probabilities"], expected["probabilities"], atol=1e-7)
    assert rest["with_id"] == "42"
    assert "[unknown-adapter]" in rest["error"]


def test_mlservers_types_and_codecs(serving: Serving, expected: dict[str, Any]) -> None:
    seen = environment("mlserver").run("mlserver_client.py", serving.url, serving.key)
    assert seen["server"] == "tenantry"
    assert seen["versions"] == ["1"]
    assert seen["index"] == [MODEL]
    for name in ("strings", "plain_strings", "whole_request", "base64"):
        assert (seen[name]["model"], seen[name]["version"]) == (MODEL, "1")
        assert seen[name]["labels"] == expected["labels"], name
        assert np.allclose(seen[name]["probabilities"], expected["probabilities"], atol=1e-7), name
    assert seen["strings"]["id"] == "7"
    assert seen["one_output"]["labels"] == expected["labels"]
    assert seen["numpy"].startswith("422")
    assert "'np'" in seen["numpy"]
