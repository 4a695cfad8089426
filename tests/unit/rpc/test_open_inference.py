from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from service.rpc import open_inference_pb2
from service.rpc.generate import FOLDER, generate
from service.rpc.methods import SERVICE


def described(source: str) -> FileDescriptorProto:
    """Return what a module of messages describes."""
    scope: dict[str, object] = {}
    exec(compile(source, "open_inference_pb2.py", "exec"), scope)
    file = scope["DESCRIPTOR"]
    proto = FileDescriptorProto()
    file.CopyToProto(proto)  # type: ignore[attr-defined]
    return proto


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return generate(tmp_path_factory.mktemp("made"))


def test_the_messages_are_those_of_the_proto_file(made: list[Path]) -> None:
    module = next(path for path in made if path.suffix == ".py")
    committed = (FOLDER / module.name).read_text(encoding="utf-8")
    assert described(module.read_text(encoding="utf-8")) == described(committed), (
        "run `python -m service.rpc.generate`"
    )


def test_the_types_name_every_message_and_member(made: list[Path]) -> None:
    types = next(path for path in made if path.suffix == ".pyi")
    committed = (FOLDER / types.name).read_text(encoding="utf-8")
    members = [line for line in types.read_text(encoding="utf-8").splitlines() if "class" in line]
    assert members == [line for line in committed.splitlines() if "class" in line], (
        "run `python -m service.rpc.generate`"
    )


def test_the_messages_are_not_in_the_pool_that_other_packages_share() -> None:
    assert open_inference_pb2.ModelInferRequest.DESCRIPTOR.full_name == (
        "inference.ModelInferRequest"
    )
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")


def test_every_method_of_the_proto_file_is_served_under_its_name() -> None:
    service = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert service.full_name == SERVICE
