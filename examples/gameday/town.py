"""The tenants of a game day: what each is asked, and what would have been right.

The adapters are random, so nobody knows what is right. It is drawn once, from what the adapter
itself says: a text that it gives 0.8 for `billing` is about billing four times of five. So every
adapter is calibrated, and as accurate as it is sure, until something breaks.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import httpx

from examples.gameday.adapters import ADAPTER, LABELS, metadata_of, package_of, weights_of
from examples.gameday.backbone import bundle_in
from examples.gameday.pair import serving
from examples.gameday.texts import FOREIGN, texts_of
from service.client.client import Client
from service.engine import digest
from service.engine.bundle import Bundle

TENANTS = ("bakery", "cinema", "florist", "garage", "hotel", "library")
HOLDOUT = 400
_TEXTS = 4000
_AT_ONCE = 500
_FILE = "town.json"
_MADE_BY = ("adapters.py", "backbone.py", "texts.py", "town.py")


@dataclass(frozen=True, slots=True)
class Judged:
    """A text, and what it is about."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant, and its texts."""

    name: str
    seed: int
    ordinary: tuple[Judged, ...]
    foreign: tuple[Judged, ...]

    @property
    def adapter(self) -> str:
        """Return the path of its adapter."""
        return f"/v1/tenants/{self.name}/adapters/{ADAPTER}"

    @property
    def holdout(self) -> list[tuple[str, str]]:
        """Return what its uploads bring, and nobody asks."""
        return [(judged.text, judged.label) for judged in self.ordinary[:HOLDOUT]]

    @property
    def asked(self) -> tuple[Judged, ...]:
        """Return what it is asked on an ordinary day."""
        return self.ordinary[HOLDOUT:]


@dataclass(frozen=True, slots=True)
class Town:
    """The backbone and its tenants."""

    folder: Path
    bundle: Bundle
    tenants: tuple[Tenant, ...]

    def other_bundle(self) -> Bundle:
        """Return a backbone that the base model may be swapped for."""
        return bundle_in(self.folder / "bundle-2", seed=2)

    def tenant(self, name: str) -> Tenant:
        """Return a tenant by its name."""
        return next(tenant for tenant in self.tenants if tenant.name == name)


def town_in(folder: Path) -> Town:
    """Return the town of a folder, built there where it is not yet, or by other code."""
    folder = folder / _recipe()
    folder.mkdir(parents=True, exist_ok=True)
    bundle = bundle_in(folder / "bundle-1", seed=1)
    file = folder / _FILE
    if not file.is_file():
        told = _judged_by_themselves(bundle, folder)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(told), encoding="utf-8")
        part.rename(file)
    kept = json.loads(file.read_text(encoding="utf-8"))
    tenants = [
        Tenant(name, seed, *(tuple(Judged(*row) for row in rows) for rows in kept[name]))
        for seed, name in enumerate(TENANTS, start=1)
    ]
    return Town(folder, bundle, tuple(tenants))


def _recipe() -> str:
    """Return a name for the code that towns are built by."""
    here = Path(__file__).parent
    files = {name: digest.of_file(here / name) for name in _MADE_BY}
    return digest.of_document(files)[7:19]


def _judged_by_themselves(bundle: Bundle, folder: Path) -> dict[str, list[list[list[str]]]]:
    """Return, for each tenant, rows of its ordinary and of foreign texts."""
    draw = random.Random(0)
    state, log = folder / "state", folder / "town.log"
    unlogged = {"event_log": False}
    with (
        serving(bundle.path, state, log, settings=unlogged) as service,
        Client(service.url) as client,
        httpx.Client(base_url=service.url, trust_env=False, timeout=60.0) as http,
    ):
        found = {}
        for seed, name in enumerate(TENANTS, start=1):
            weights = weights_of(bundle.manifest, seed)
            client.put_tenant(name)
            client.upload(name, ADAPTER, package_of(bundle.manifest, weights), metadata_of())
            client.set_rollout(name, ADAPTER, 1)
            path = f"/v1/tenants/{name}/adapters/{ADAPTER}/predict"
            ordinary = texts_of(_TEXTS, seed)
            foreign = texts_of(_TEXTS, seed, FOREIGN)
            found[name] = [
                [
                    row
                    for start in range(0, _TEXTS, _AT_ONCE)
                    for row in _judged(http, path, texts[start : start + _AT_ONCE], draw)
                ]
                for texts in (ordinary, foreign)
            ]
    return found


def _judged(
    http: httpx.Client, path: str, texts: list[str], draw: random.Random
) -> list[list[str]]:
    answer = http.post(path, json={"inputs": texts}).raise_for_status().json()
    rows: list[list[str]] = []
    for text, prediction in zip(texts, answer["predictions"], strict=True):
        scores = [prediction["scores"][label] for label in LABELS]
        [right] = draw.choices(LABELS, scores)
        rows.append([text, right])
    return rows
