"""The methods of `inference.GRPCInferenceService`, each from a message to a message."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from google.protobuf.message import Message

from service.api.call import Call
from service.api.callers import Caller
from service.api.oip_catalogue import SERVER, Catalogue
from service.api.oip_statistics import Statistics
from service.api.permissions import Need, authorise
from service.api.prediction import Predictor
from service.rpc.calls import OneMessage
from service.rpc.messages import (
    answer_of,
    asked_by,
    config_of,
    index_of,
    metadata_of,
    model_of,
    parse,
    statistics_of,
    version_of,
)
from service.rpc.open_inference_pb2 import (
    ModelConfigRequest,
    ModelInferRequest,
    ModelMetadataRequest,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStatisticsRequest,
    RepositoryIndexRequest,
    ServerLiveResponse,
    ServerMetadataResponse,
    ServerReadyResponse,
)

SERVICE = "inference.GRPCInferenceService"
ASKING = "ModelInfer"  # the method that asks an adapter


@dataclass(frozen=True, slots=True)
class Method:
    """One method: what it needs, and what answers its messages, which come as bytes."""

    name: str
    need: Need
    answer: Callable[[Call, bytes], Awaitable[Message]]


class Methods:
    """Answers messages."""

    def __init__(self, predictor: Predictor, catalogue: Catalogue, statistics: Statistics) -> None:
        self._predictor = predictor
        self._catalogue = catalogue
        self._statistics = statistics

    def all(self) -> list[Method]:
        """Return every method that is served."""
        return [
            Method("ServerLive", "free", self.server_live),
            Method("ServerReady", "free", self.server_ready),
            Method("ServerMetadata", "free", self.server_metadata),
            Method("ModelReady", "predict", self.model_ready),
            Method("ModelMetadata", "predict", self.model_metadata),
            Method(ASKING, "predict", self.model_infer),
            Method("ModelConfig", "predict", self.model_config),
            Method("ModelStatistics", "predict", self.model_statistics),
            Method("RepositoryIndex", "predict", self.repository_index),
        ]

    async def server_live(self, call: Call, raw: bytes) -> Message:
        """Answer for as long as the process answers at all."""
        del call, raw
        return ServerLiveResponse(live=True)

    async def server_ready(self, call: Call, raw: bytes) -> Message:
        """Say whether inferences are welcome."""
        del call, raw
        return ServerReadyResponse(ready=self._catalogue.server_ready)

    async def server_metadata(self, call: Call, raw: bytes) -> Message:
        """Tell of the server."""
        del call, raw
        return ServerMetadataResponse(**SERVER)

    async def model_ready(self, call: Call, raw: bytes) -> Message:
        """Say whether a model would answer now."""
        asked = parse(ModelReadyRequest, raw)
        _permit(call, asked.name)
        version = version_of(asked.version)
        return ModelReadyResponse(ready=self._catalogue.ready(asked.name, version))

    async def model_metadata(self, call: Call, raw: bytes) -> Message:
        """Tell of a model: its versions, inputs and outputs."""
        asked = parse(ModelMetadataRequest, raw)
        _permit(call, asked.name)
        version = version_of(asked.version)
        return metadata_of(self._catalogue.metadata(asked.name, version))

    async def model_config(self, call: Call, raw: bytes) -> Message:
        """Show a model's configuration."""
        asked = parse(ModelConfigRequest, raw)
        _permit(call, asked.name)
        version = version_of(asked.version)
        return config_of(self._catalogue.config(asked.name, version))

    async def model_statistics(self, call: Call, raw: bytes) -> Message:
        """Show how often a model's versions were asked, or all that the caller sees."""
        asked = parse(ModelStatisticsRequest, raw)
        if not asked.name:
            return statistics_of(self._statistics.lines(_caller(call)))
        _permit(call, asked.name)
        version = version_of(asked.version)
        versions = self._catalogue.versions(asked.name, version)
        return statistics_of(self._statistics.lines_of(versions))

    async def repository_index(self, call: Call, raw: bytes) -> Message:
        """List the models that the caller sees."""
        asked = parse(RepositoryIndexRequest, raw)
        return index_of(self._catalogue.index(_caller(call), ready=asked.ready))

    async def model_infer(self, call: Call, raw: bytes) -> Message:
        """Answer texts or images with a model."""
        request = parse(ModelInferRequest, raw)
        _permit(call, request.model_name)
        model = model_of(request)
        asked = asked_by(request, self._predictor.check_count, images=self._predictor.takes_images)
        work = self._predictor.predict(
            call,
            OneMessage(None),
            model,
            asked.inputs,
            routing_key=asked.routing_key,
            group=asked.group,
        )
        predicted = await self._statistics.count(call, model, work)
        return answer_of(request, asked, predicted, call.request_id)


def _caller(call: Call) -> Caller:
    assert call.caller is not None, "the server admits a caller before any method runs"
    return call.caller


def _permit(call: Call, model: str) -> None:
    """Raise what a route with this model in its path would raise."""
    authorise(_caller(call), "predict", {"model": model})
