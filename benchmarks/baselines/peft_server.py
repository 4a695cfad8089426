"""The baseline that a team writes first: `peft` behind a plain FastAPI handler.

    python -m benchmarks.baselines.peft_server PORT FOLDER DTYPE

FOLDER holds one `save_pretrained` folder per tenant. A request is tokenised, run with
`adapter_names=`, and answered as the service answers; requests are not gathered into batches.
"""

import sys
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoTokenizer

from benchmarks.baselines.torch_models import DTYPES, peft_model
from benchmarks.bundles import minilm


class Ask(BaseModel):
    """The body of a request."""

    inputs: list[str]


def make_app(folder: Path, labels: list[str], dtype: str) -> FastAPI:
    """Return the application with every tenant of the folder."""
    folders = [(tenant.name, tenant) for tenant in sorted(folder.iterdir())]
    model = peft_model(folders, len(labels), dtype)
    tokenizer = AutoTokenizer.from_pretrained(minilm(), local_files_only=True)
    app = FastAPI()

    @app.get("/ready")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    # On the event loop, so one at a time: peft passes `adapter_names` on by hooks that it puts into
    # the shared model during a call, and calls side by side would get each other's adapters.
    @app.post("/v1/tenants/{tenant}/adapters/{adapter}/predict")
    async def predict(tenant: str, adapter: str, ask: Ask) -> dict[str, object]:  # noqa: ARG001
        batch = tokenizer(ask.inputs, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**batch, adapter_names=[tenant] * len(ask.inputs)).logits
        predictions = [
            {
                "label": labels[max(range(len(row)), key=row.__getitem__)],
                "score": max(row),
                "scores": dict(zip(labels, row, strict=True)),
            }
            for row in logits.float().softmax(-1).tolist()
        ]
        return {"predictions": predictions}

    return app


def main() -> None:
    """Serve until a signal."""
    port, folder, dtype = sys.argv[1:]
    assert dtype in DTYPES
    labels = [f"label {number}" for number in range(77)]
    app = make_app(Path(folder), labels, dtype)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
