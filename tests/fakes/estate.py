"""Two hundred adapters whose answers identify them, and a book of who might answer when.

Every version has weights and label names of its own. What it must answer to a few fixed texts is
asked beforehand of another graph and bank, where it is alone; versions that could be taken for one
another, or for the bare backbone, are not let in. So an answer says by itself whose it is.
"""

import json
import threading
import time
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from safetensors.numpy import save

from service.batching.answers import Answer
from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Tokeniser, Tokens
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from service.uploads.limits import UploadLimits
from service.uploads.package import Package, open_package
from tests.fakes.packages import CONFIG, PREFIX, WEIGHTS, config_of, zip_of

ACTOR = "test"
TENANTS = 20
PER_TENANT = 10
LABELS = 12
TOLERANCE = 5e-4
APART = 0.02  # of the embeddings of two versions, at least: 40 times the tolerance

TEXTS = (
    "please send the parcel back to the warehouse before friday",
    "my card was charged twice and nobody answers the telephone",
    "what a wonderful crew",
    "is there a discount",
    "the leaves turn yellow although i water them every week",
    "number 42",
)

Name = tuple[str, str]  # tenant, adapter


@dataclass(frozen=True, slots=True)
class Version:
    """What one version must answer, text by text."""

    labels: tuple[str, ...]
    probabilities: list[FloatArray]
    embeddings: list[FloatArray]


@dataclass(slots=True)
class Live:
    """A time in which a version was live or canary; `until` moves while it lasts."""

    digest: str
    since: float
    until: float = float("inf")


@dataclass(slots=True)
class Book:
    """Which versions might answer when; each change is entered before it begins and at its end."""

    entries: dict[Name, list[Live]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begins(self, name: Name, digest: str) -> None:
        with self.lock:
            self.entries.setdefault(name, []).append(Live(digest, time.monotonic()))

    def ended(self, name: Name, but: Collection[str]) -> None:
        """Note that by now nothing but `but` answers."""
        with self.lock:
            for entry in self.entries.get(name, []):
                if entry.digest not in but:
                    entry.until = min(entry.until, time.monotonic())

    def was_live(self, name: Name, digest: str, since: float, until: float) -> bool:
        with self.lock:
            return any(
                entry.digest == digest and entry.since <= until and entry.until >= since
                for entry in self.entries.get(name, [])
            )


class Estate:
    """A registry full of adapters, and all that is known of them."""

    def __init__(self, bundle: Bundle, registry: Registry) -> None:
        self.bundle = bundle
        self.registry = registry
        self.tokens: list[Tokens] = Tokeniser(bundle).encode(TEXTS)
        self.names: list[Name] = [
            (f"tenant-{t}", f"adapter-{a}") for t in range(TENANTS) for a in range(PER_TENANT)
        ]
        self.book = Book()
        self.versions: dict[str, Version] = {}  # by digest
        self._quiet = Forward(bundle, OnnxRuntime(bundle, "cpu", 1, threads=1))
        self._lock = threading.Lock()
        self._seeds = 0
        self._all: list[FloatArray] = []
        self._bare = self._alone(Adapter("sha256:none", 0, {}, *self._plain_head()))
        self._all.append(np.concatenate(self._bare.embeddings))
        for tenant in sorted({tenant for tenant, _ in self.names}):
            registry.put_tenant(tenant, TenantSettings(), ACTOR)

    def _plain_head(self) -> tuple[dict[str, FloatArray], tuple[str, ...]]:
        return self._head(np.random.default_rng(0)), tuple(f"bare {i}" for i in range(LABELS))

    def _head(self, random: np.random.Generator) -> dict[str, FloatArray]:
        head: dict[str, FloatArray] = {}
        for step in self.bundle.manifest.head.steps:
            if step.module and step.module not in self.bundle.manifest.head.held:
                rows = step.out_features or LABELS
                shape = (rows, step.in_features)
                head[f"{step.module}.weight"] = random.standard_normal(shape).astype(np.float32)
                head[f"{step.module}.bias"] = random.standard_normal(rows).astype(np.float32)
        return head

    def package(self, name: Name) -> Package:
        """Return an upload of a version that nobody has seen, and note what it must answer."""
        with self._lock:
            self._seeds += 1
            seed = self._seeds
        manifest = self.bundle.manifest
        random = np.random.default_rng(seed)
        rank = int(random.integers(1, 9))
        tensors = {f"{PREFIX}{key}": value for key, value in self._head(random).items()}
        for target in manifest.targets:
            module = f"{PREFIX}{manifest.encoder}.{target.name}"
            for key, shape in (
                ("A", (rank, target.in_features)),
                ("B", (target.out_features, rank)),
            ):
                weights = 0.2 * random.standard_normal(shape)
                tensors[f"{module}.lora_{key}.weight"] = weights.astype(np.float32)
        saved = sorted(
            {key.removeprefix(PREFIX).rsplit(".", 1)[0] for key in tensors if "lora" not in key}
        )
        config = config_of(manifest, rank=rank, modules_to_save=saved, exclude_modules=None)
        files = {CONFIG: json.dumps(config).encode(), WEIGHTS: save(tensors)}
        labels = [f"{'.'.join(name)} {seed} {i}" for i in range(LABELS)]
        package = open_package(
            zip_of(files, zipfile.ZIP_STORED),
            json.dumps({"labels": labels}).encode(),
            manifest,
            self.bundle.digest,
            UploadLimits(),
        )
        with self._lock:
            self._admit(package)
        return package

    def _admit(self, package: Package) -> None:
        version = self._alone(package.adapter)
        print_ = np.concatenate(version.embeddings)
        nearest = min(float(np.abs(print_ - other).max()) for other in self._all)
        assert nearest > APART, "two versions could be taken for one another"
        self._all.append(print_)
        self.versions[package.digest] = version

    def _alone(self, adapter: Adapter) -> Version:
        member = Member(adapter, self._quiet.runtime.write(1, adapter))
        version = Version(adapter.labels, [], [])
        for text in self.tokens:
            planned = plan([len(text)], [0], self._quiet.runtime.grid, 1)
            answered = self._quiet.run(planned, [text], [0], [member])
            row = answered.probabilities[0]
            assert row is not None
            version.probabilities.append(row)
            version.embeddings.append(answered.embeddings[0].copy())
        return version

    def go_live(self, name: Name, package: Package) -> None:
        """Publish a version and make it the live one, with its predecessor as a shadow."""
        published, _ = self.registry.publish(*name, package, {}, ACTOR)
        before = self.registry.rollout(*name).live
        document: dict[str, object] = {"live": published.version}
        if before is not None:
            document["shadow"] = [before]
        self.book.begins(name, package.digest)
        self.registry.set_rollout(*name, document, None, ACTOR)
        self.book.ended(name, but=[package.digest])

    def go_canary(self, name: Name, package: Package) -> None:
        """Publish a version that answers some of the requests, beside the one that is live."""
        published, _ = self.registry.publish(*name, package, {}, ACTOR)
        live = self.registry.rollout(*name).live
        assert live is not None
        others = {v.version: v.digest for v in self.registry.versions(*name)}
        shadows = [n for n in others if n not in (live, published.version)][-2:]
        document = {
            "live": live,
            "canary": {"version": published.version, "percent": 40},
            "shadow": shadows,
        }
        self.book.begins(name, package.digest)
        self.registry.set_rollout(*name, document, None, ACTOR)
        self.book.ended(name, but=[package.digest, others[live]])

    def judge_bare(self, texts: Sequence[int], embeddings: FloatArray) -> str | None:
        """Return what is wrong with embeddings that the bare backbone should have given."""
        for text, embedding in zip(texts, embeddings, strict=True):
            if np.abs(embedding - self._bare.embeddings[text]).max() > TOLERANCE:
                return f"the bare backbone was asked, {self._whose(text, embedding)} answered"
        return None

    def judge(
        self, name: Name, texts: Sequence[int], answer: Answer, since: float, until: float
    ) -> str | None:
        """Return what is wrong with an answer to a request that ran from `since` to `until`."""
        wrong = self.judge_rows(name, texts, answer)
        if wrong is None and not self.book.was_live(name, answer.digest, since, until):
            return f"{name} was answered by {answer.digest}, which was not live"
        return wrong

    def judge_rows(self, name: Name, texts: Sequence[int], answer: Answer) -> str | None:
        """Return where an answer is not that of the version that it says, whenever that was."""
        version = self.versions.get(answer.digest)
        if version is None:
            return f"{name} was answered by {answer.digest}, which nobody uploaded"
        if answer.labels != version.labels:
            return f"{name} was answered with the labels of another version"
        rows = zip(texts, answer.probabilities, answer.embeddings, strict=True)
        for text, probabilities, embedding in rows:
            if np.abs(embedding - version.embeddings[text]).max() > TOLERANCE:
                return f"{name} says {answer.digest}, {self._whose(text, embedding)} answered"
            away = float(np.abs(probabilities - version.probabilities[text]).max())
            if away > TOLERANCE:
                return f"{name} says {answer.digest}, another's head answered: {away:.1e} away"
        return None

    def _whose(self, text: int, embedding: FloatArray) -> str:
        if np.abs(embedding - self._bare.embeddings[text]).max() <= TOLERANCE:
            return "the bare backbone"
        for digest, version in list(self.versions.items()):
            if np.abs(embedding - version.embeddings[text]).max() <= TOLERANCE:
                return digest
        return "a mixture"
