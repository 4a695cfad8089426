"""Hugging Face's own client, unmodified, against a server on a port of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import reset_sessions  # type: ignore[attr-defined]

ROOT = Path(__file__).resolve().parents[2]
KEY = "correct-horse-battery-staple"
TEXT = "I want my money back"

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the client out: it holds a server on this machine for the hub, which tests never ask."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    reset_sessions()
    yield
    reset_sessions()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that needs a key and has the model acme.support."""
    state = tmp_path_factory.mktemp("state")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.serving", str(state), f"admin_key={KEY}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, process.communicate()[1]
        [address] = json.loads(said)
        assert httpx.get(address + "/livez").status_code == 200, "it answers, so it listens"
        yield address
    finally:
        process.kill()
        process.communicate()


def native(url: str) -> dict[str, float]:
    """Return what the native route answers: every label's score."""
    answer = httpx.post(
        f"{url}/v1/tenants/acme/adapters/support/predict",
        json={"inputs": [TEXT]},
        headers={"authorization": f"Bearer {KEY}"},
    )
    scores: dict[str, float] = answer.json()["predictions"][0]["scores"]
    return scores


def test_the_client_reads_the_labels_best_first(url: str) -> None:
    told = InferenceClient(model=f"{url}/hf/acme.support", token=KEY).text_classification(TEXT)
    assert {line.label: line.score for line in told} == pytest.approx(native(url))
    assert [line.score for line in told] == sorted((line.score for line in told), reverse=True)


def test_the_client_s_parameters_are_honoured(url: str) -> None:
    client = InferenceClient(model=f"{url}/hf/acme.support", token=KEY)
    every = client.text_classification(TEXT)
    [best] = client.text_classification(TEXT, top_k=1, function_to_apply="softmax")
    assert best == every[0]


async def test_the_client_s_other_half_reads_the_same(url: str) -> None:
    async with AsyncInferenceClient(model=f"{url}/hf/acme.support", token=KEY) as client:
        told = await client.text_classification(TEXT, top_k=2)
    assert len(told) == 2
    right = native(url)
    for line in told:
        assert line.score == pytest.approx(right[line.label])


@pytest.mark.parametrize(
    ("model", "token", "apply", "status", "says"),
    [
        ("acme.nothing", KEY, None, 404, "unknown-adapter"),
        ("acme.support", "wrong", None, 401, "not-authenticated"),
        ("acme.support", KEY, "sigmoid", 422, "function_to_apply"),
    ],
)
def test_the_client_tells_what_was_wrong(
    url: str, model: str, token: str, apply: str | None, status: int, says: str
) -> None:
    client = InferenceClient(model=f"{url}/hf/{model}", token=token)
    with pytest.raises(HfHubHTTPError) as raised:
        client.text_classification(TEXT, function_to_apply=apply)  # type: ignore[arg-type]
    assert raised.value.response is not None
    assert raised.value.response.status_code == status
    assert says in str(raised.value) + raised.value.response.text
