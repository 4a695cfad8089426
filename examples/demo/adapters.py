"""The adapters: trained once, and taken again while nothing they were made from has changed."""

import io
import json
import shutil
import time
import zipfile
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from examples.demo.businesses import COLLECTED_UNTIL, Business, read_rows
from examples.demo.train import OnEpoch, Row, train_adapter
from service.engine import digest

_STAMP = "made-from.txt"


@dataclass(frozen=True, slots=True)
class Trained:
    """A business with its adapter, as `save_pretrained` wrote it."""

    business: Business
    folder: Path
    labels: tuple[str, ...]  # in the order of the classes
    train: list[Row]
    test: list[Row]
    seconds: float | None  # None: it was there already

    @property
    def rows(self) -> list[Row]:
        """Return every labelled text, those of the test split first."""
        return self.test + self.train

    def packed(self) -> bytes:
        """Return the folder's files and the test split as a zip, which is what an upload takes."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
            for path in sorted(self.folder.iterdir()):
                files.write(path, path.name)
            holdout = [json.dumps({"text": row.text, "label": row.label}) for row in self.test]
            files.writestr("holdout.jsonl", "\n".join(holdout))
        return archive.getvalue()

    def mislabelled(self) -> Self:
        """Return the same adapter with its first two labels swapped, as a slip would have it."""
        first, second, *others = self.labels
        return replace(self, labels=(second, first, *others))

    def metadata(self, backbone_digest: str) -> dict[str, Any]:
        """Return the document that goes with the upload."""
        return {
            "labels": list(self.labels),
            "license": "CC0-1.0",
            "owner": f"ml@{self.business.tenant}.example",
            "dataset": {"id": self.business.data.name, "collected_until": COLLECTED_UNTIL},
            "backbone_digest": backbone_digest,
        }


def trained_in(folder: Path, business: Business, model: Path, on_epoch: OnEpoch) -> Trained:
    """Return the business with its adapter in the folder, trained where it is not there yet."""
    train, test = read_rows(business, "train"), read_rows(business, "test")
    labels = tuple(sorted({row.label for row in train}))
    stamp, out = folder / _STAMP, folder / "adapter"
    made_from = _made_from(business, model)
    if stamp.is_file() and stamp.read_text(encoding="ascii") == made_from:
        return Trained(business, out, labels, train, test, None)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = time.monotonic()
    train_adapter(model, train, labels, business.recipe, out, on_epoch)
    seconds = time.monotonic() - started
    stamp.write_text(made_from, encoding="ascii")
    return Trained(business, out, labels, train, test, seconds)


def _made_from(business: Business, model: Path) -> str:
    return digest.of_document(
        {
            "texts": digest.of_file(business.data),
            "model": digest.of_file(model / "model.safetensors"),
            "recipe": asdict(business.recipe),
            "trainer": digest.of_file(Path(__file__).with_name("train.py")),
            "versions": [version(name) for name in ("torch", "transformers", "peft")],
        }
    )
