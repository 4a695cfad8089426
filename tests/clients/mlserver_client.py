"""MLServer's types and codecs, sent with httpx: python mlserver_client.py URL KEY."""

import json
import sys
from typing import Any

import httpx
import numpy as np
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec, StringRequestCodec
from mlserver.types import (
    InferenceErrorResponse,
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    Parameters,
    RepositoryIndexResponse,
    RequestOutput,
)

MODEL = "/v2/models/acme.support"
TEXTS = ["a b", "ä"]


def infer(client: httpx.Client, request: InferenceRequest) -> dict[str, Any]:
    answer = client.post(f"{MODEL}/infer", content=request.model_dump_json())
    answer.raise_for_status()
    response = InferenceResponse.model_validate_json(answer.content)
    outputs = {output.name: output for output in response.outputs}
    seen: dict[str, Any] = {
        "model": response.model_name,
        "version": response.model_version,
        "id": response.id,
        "labels": StringCodec.decode_output(outputs["label"]),
    }
    if "probabilities" in outputs:
        seen["probabilities"] = NumpyCodec.decode_output(outputs["probabilities"]).tolist()
    return seen


def refused(client: httpx.Client, request: InferenceRequest) -> str:
    answer = client.post(f"{MODEL}/infer", content=request.model_dump_json())
    return (
        f"{answer.status_code} {InferenceErrorResponse.model_validate_json(answer.content).error}"
    )


def main(url: str, key: str) -> None:
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as client:
        text = StringCodec.encode_input("text", TEXTS)
        base64 = Base64Codec.encode_input("text", [one.encode() for one in TEXTS], use_bytes=False)
        numpy = NumpyCodec.encode_input("text", np.array(TEXTS, dtype=np.str_))
        seen = {
            "server": MetadataServerResponse.model_validate_json(client.get("/v2").content).name,
            "versions": MetadataModelResponse.model_validate_json(
                client.get(MODEL).content
            ).versions,
            "index": [
                line.name
                for line in RepositoryIndexResponse.model_validate_json(
                    client.post("/v2/repository/index", content=b"{}").content
                ).root
            ],
            "strings": infer(client, InferenceRequest(id="7", inputs=[text])),
            "plain_strings": infer(
                client,
                InferenceRequest(inputs=[StringCodec.encode_input("text", TEXTS, use_bytes=False)]),
            ),
            "whole_request": infer(client, StringRequestCodec.encode_request(TEXTS)),
            "base64": infer(client, InferenceRequest(inputs=[base64])),
            "one_output": infer(
                client,
                InferenceRequest(
                    inputs=[text],
                    outputs=[
                        RequestOutput(name="label", parameters=Parameters(content_type="str"))
                    ],
                    parameters=Parameters(headers={"x": "y"}),
                ),
            ),
            "numpy": refused(client, InferenceRequest(inputs=[numpy])),
        }
    print(json.dumps(seen))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main(*sys.argv[1:])
