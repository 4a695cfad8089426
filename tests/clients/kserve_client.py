"""KServe's InferenceRESTClient and InferenceGRPCClient: python kserve_client.py URL GRPC KEY."""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

MODEL = "acme.support"
TEXTS = ["a b", "ä"]


def listed(**more: Any) -> InferRequest:
    text = InferInput("text", [2], "BYTES", data=TEXTS)
    return InferRequest(model_name=MODEL, infer_inputs=[text], **more)


def from_numpy(*, binary: bool) -> InferRequest:
    text = InferInput("text", [2], "BYTES")
    text.set_data_from_numpy(np.array(TEXTS, dtype=np.object_), binary_data=binary)
    return InferRequest(model_name=MODEL, infer_inputs=[text])


def over_grpc() -> InferRequest:
    text = InferInput("text", [2], "BYTES", data=[one.encode() for one in TEXTS])
    return InferRequest(model_name=MODEL, infer_inputs=[text])


def told(response: Any) -> dict[str, Any]:
    outputs = {output.name: output for output in response.outputs}
    return {
        "model": response.model_name,
        "labels": [
            one.decode() if isinstance(one, bytes) else one
            for one in outputs["label"].as_numpy().tolist()
        ],
        "probabilities": outputs["probabilities"].as_numpy().tolist(),
    }


async def rest(url: str, headers: dict[str, str]) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=10))
    seen: dict[str, Any] = {
        "live": await client.is_server_live(url, headers=headers),
        "ready": await client.is_server_ready(url, headers=headers),
        "model_ready": await client.is_model_ready(url, MODEL, headers=headers),
        "listed": told(await client.infer(url, listed(), MODEL, headers=dict(headers))),
        "with_id": (
            await client.infer(url, listed(request_id="42"), MODEL, headers=dict(headers))
        ).id,
        "json": told(
            await client.infer(url, from_numpy(binary=False), MODEL, headers=dict(headers))
        ),
        "binary": told(
            await client.infer(url, from_numpy(binary=True), MODEL, headers=dict(headers))
        ),
    }
    try:
        await client.infer(url, listed(), "acme.nothing", headers=dict(headers))
    except httpx.HTTPStatusError as error:
        seen["error"] = str(error)
    return seen


async def grpc(address: str, key: str) -> dict[str, Any]:
    metadata = (("authorization", f"Bearer {key}"),)
    async with InferenceGRPCClient(address, timeout=10) as client:
        return {
            "live": await client.is_server_live(headers=metadata),
            "ready": await client.is_server_ready(headers=metadata),
            "model_ready": await client.is_model_ready(MODEL, headers=metadata),
            "listed": told(await client.infer(over_grpc(), headers=metadata)),
            "raw": told(await client.infer(from_numpy(binary=True), headers=metadata)),
        }


async def main(url: str, address: str, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    seen = {"rest": await rest(url, headers), "grpc": await grpc(address, key)}
    print(json.dumps(seen))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
