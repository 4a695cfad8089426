"""What the Open Inference Protocol tells of the server and its models, whatever the front.

All of it is answered from memory, so that asking costs no more than what is answered.
"""

from typing import Any

from service.api.callers import Caller
from service.api.lifecycle import Lifecycle
from service.api.names import model_parts
from service.api.version import VERSION
from service.errors import NoLiveVersion
from service.registry.records import Route
from service.registry.registry import Registry
from service.registry.routes import AdapterRoutes

PLATFORM = "onnxruntime_banked_lora"
BACKEND = "tenantry"
SERVER: dict[str, Any] = {
    "name": "tenantry",
    "version": VERSION,
    "extensions": ["binary_tensor_data", "model_configuration", "model_repository", "statistics"],
}


class Catalogue:
    """The models: what they take and give, and which of them answer."""

    def __init__(
        self,
        registry: Registry,
        lifecycle: Lifecycle,
        hidden_size: int,
        *,
        images: bool = False,
    ) -> None:
        """`images` says that the backbone reads these, and not texts."""
        self._images = images
        self._registry = registry
        self._lifecycle = lifecycle
        self._hidden_size = hidden_size

    @property
    def server_ready(self) -> bool:
        """Say whether inferences are welcome."""
        return self._lifecycle.ready

    def ready(self, model: str, version: int | None) -> bool:
        """Say whether a model would answer now.

        Raises `UnknownTenant`, `UnknownAdapter`, `UnknownVersion` or `NoLiveVersion`.
        """
        self._registry.route(*model_parts(model), version)
        return self._lifecycle.ready

    def versions(self, model: str, version: int | None) -> list[Route]:
        """Return a model's versions, or the one of that number, that can be asked.

        Raises `UnknownTenant`, `UnknownAdapter` or `UnknownVersion`.
        """
        tenant, adapter = model_parts(model)
        if version is not None:
            return [self._registry.route(tenant, adapter, version)]
        own = self._registry.routes().of_adapter(tenant, adapter).versions
        return [own[number] for number in sorted(own)]

    def metadata(self, model: str, version: int | None) -> dict[str, Any]:
        """Return a model's versions, inputs and outputs; with the labels of what answers."""
        versions = self.versions(model, version)
        return metadata_document(
            model,
            [found.version for found in versions],
            self._shown(model, versions).labels,
            self._hidden_size,
            images=self._images,
        )

    def config(self, model: str, version: int | None) -> dict[str, Any]:
        """Return a model's configuration, as Triton writes one."""
        shown = self._shown(model, self.versions(model, version))
        return config_document(model, shown.labels, self._hidden_size, images=self._images)

    def index(self, caller: Caller, *, ready: bool) -> list[dict[str, Any]]:
        """Return the models that a caller sees; with `ready`, only those that answer.

        A line for each version that a request can reach without naming it; an adapter without
        such a version has one line, which says so.
        """
        known = self._registry.routes().tenants
        seen = sorted(known) if caller.tenant is None else [caller.tenant]
        lines: list[dict[str, Any]] = []
        for tenant in seen:
            own = known[tenant].adapters if tenant in known else {}  # deleted in the meantime
            for adapter in sorted(own):
                lines += _index_lines(f"{tenant}.{adapter}", own[adapter])
        return [line for line in lines if line["state"] == "READY"] if ready else lines

    def _shown(self, model: str, versions: list[Route]) -> Route:
        """Return the version whose labels stand for a model: the live one, or else the newest."""
        if not versions:
            raise NoLiveVersion(f"no version of {model} can be asked")
        live = self._registry.routes().of_adapter(*model_parts(model)).rollout.live
        return next((found for found in versions if found.version == live), versions[-1])


def _index_lines(name: str, known: AdapterRoutes) -> list[dict[str, Any]]:
    rollout = known.rollout
    answering = [] if rollout.live is None else [rollout.live]
    if rollout.canary is not None:
        answering.append(rollout.canary.version)
    if not answering:
        return [
            {
                "name": name,
                "version": str(max({*known.foreign, *known.versions})),
                "state": "UNAVAILABLE",
                "reason": "no version is live; one may still be asked by its number",
            }
        ]
    return [
        {"name": name, "version": str(version), "state": "READY", "reason": ""}
        for version in answering
    ]


def metadata_document(
    name: str,
    versions: list[int],
    labels: tuple[str, ...],
    hidden_size: int,
    *,
    images: bool = False,
) -> dict[str, Any]:
    """Return the metadata of a model."""
    inputs: list[dict[str, Any]] = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    inputs.append(
        {"name": "pair", "datatype": "BYTES", "shape": [-1], "parameters": {"optional": True}}
    )
    if images:
        kind = {"content_type": "image"}
        inputs = [{"name": "image", "datatype": "BYTES", "shape": [-1], "parameters": kind}]
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [-1, len(labels)],
                "parameters": {"labels": list(labels)},
            },
            {"name": "id", "datatype": "BYTES", "shape": [-1]},
            {
                "name": "embedding",
                "datatype": "FP32",
                "shape": [-1, hidden_size],
                "parameters": {"optional": True},
            },
        ],
    }


def config_document(
    name: str, labels: tuple[str, ...], hidden_size: int, *, images: bool = False
) -> dict[str, Any]:
    """Return the configuration of a model; 0 for the batch size: the first dimension is data."""
    inputs: list[dict[str, Any]] = [
        {"name": "text", "data_type": "TYPE_STRING", "dims": [-1]},
        {"name": "pair", "data_type": "TYPE_STRING", "dims": [-1], "optional": True},
    ]
    if images:
        inputs = [{"name": "image", "data_type": "TYPE_STRING", "dims": [-1]}]
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "max_batch_size": 0,
        "input": inputs,
        "output": [
            {"name": "label", "data_type": "TYPE_STRING", "dims": [-1]},
            {"name": "score", "data_type": "TYPE_FP32", "dims": [-1]},
            {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [-1, len(labels)]},
            {"name": "id", "data_type": "TYPE_STRING", "dims": [-1]},
            {"name": "embedding", "data_type": "TYPE_FP32", "dims": [-1, hidden_size]},
        ],
    }
