"""Triton's client over gRPC, sync and aio: python triton_grpc_client.py GRPC KEY."""

import asyncio
import json
import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

MODEL = "acme.support"
TEXTS = ["a b", "ä"]
OUTPUTS = ("label", "score", "probabilities", "id", "embedding")


def inputs() -> list[Any]:
    text = triton.InferInput("text", [2], "BYTES")
    text.set_data_from_numpy(np.array(TEXTS, dtype=np.object_))
    return [text]


def told(answer: Any) -> dict[str, Any]:
    response = answer.get_response()
    found = {output.name: answer.as_numpy(output.name) for output in response.outputs}
    return {
        "model": response.model_name,
        "version": response.model_version,
        "id": response.id,
        "digest": response.parameters["digest"].string_param,
        "shapes": {name: list(array.shape) for name, array in found.items()},
        "labels": [one.decode() for one in found["label"]],
        "probabilities": found["probabilities"].tolist(),
    }


def failure(ask: Any) -> list[str]:
    try:
        ask()
    except triton.InferenceServerException as error:
        return [error.status(), error.message()]
    return ["", "it was answered"]


def sync(address: str, headers: dict[str, str]) -> dict[str, Any]:
    with triton.InferenceServerClient(address) as client:
        results: queue.Queue[Any] = queue.Queue()
        client.async_infer(
            MODEL, inputs(), lambda result, error: results.put((result, error)), headers=headers
        )
        result, error = results.get(timeout=10)
        assert error is None, error
        wanted = [triton.InferRequestedOutput(name) for name in OUTPUTS]
        infer = client.infer(MODEL, inputs(), request_id="42", headers=headers)
        return {
            "live": client.is_server_live(headers=headers),
            "ready": client.is_server_ready(headers=headers),
            "model_ready": client.is_model_ready(MODEL, headers=headers),
            "server": client.get_server_metadata(headers=headers, as_json=True),
            "metadata": client.get_model_metadata(MODEL, headers=headers, as_json=True),
            "config": client.get_model_config(MODEL, headers=headers, as_json=True),
            "index": client.get_model_repository_index(headers=headers, as_json=True),
            "infer": told(infer),
            "async_infer": told(result),
            "version": told(client.infer(MODEL, inputs(), model_version="1", headers=headers)),
            "all": told(client.infer(MODEL, inputs(), outputs=wanted, headers=headers)),
            "gzip": told(
                client.infer(MODEL, inputs(), headers=headers, compression_algorithm="gzip")
            ),
            "keyed": told(
                client.infer(
                    MODEL,
                    inputs(),
                    headers=headers,
                    parameters={"routing_key": "user-42", "group": "north"},
                )
            ),
            "statistics": client.get_inference_statistics(MODEL, headers=headers, as_json=True),
            "all_statistics": client.get_inference_statistics(headers=headers, as_json=True),
            "unknown": failure(lambda: client.infer("acme.nothing", inputs(), headers=headers)),
            "no_key": failure(lambda: client.infer(MODEL, inputs())),
            "load": failure(lambda: client.load_model(MODEL, headers=headers)),
            "late": failure(
                lambda: client.infer(MODEL, slow(), headers=headers, client_timeout=0.2)
            ),
        }


def slow() -> list[Any]:
    text = triton.InferInput("text", [1, 1], "BYTES")
    text.set_data_from_numpy(np.array([["slow" + " x" * 50]], dtype=np.object_))
    return [text]


async def aio(address: str, headers: dict[str, str]) -> dict[str, Any]:
    async with triton_aio.InferenceServerClient(address) as client:
        answers = await asyncio.gather(
            *(client.infer(MODEL, inputs(), headers=headers) for _ in range(20))
        )
        return {
            "live": await client.is_server_live(headers=headers),
            "model_ready": await client.is_model_ready(MODEL, headers=headers),
            "infer": [told(answer) for answer in answers],
        }


def main(address: str, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    seen = {"sync": sync(address, headers), "aio": asyncio.run(aio(address, headers))}
    print(json.dumps(seen))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main(*sys.argv[1:])
