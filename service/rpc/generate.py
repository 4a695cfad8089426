"""Makes the classes of the messages: `python -m service.rpc.generate`, where grpcio-tools is.

Not protoc's own module, but its description of the messages and its types for them: its module
would run with the newest protobuf alone, and would enter the messages in the pool that a process
shares, where those of Triton's and KServe's packages have the same names.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
NAME = "open_inference"
_LINE = 60  # bytes of the description, in a line of the module

_MODULE = '''\
"""The messages of {name}.proto; made by `python -m service.rpc.generate`."""

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

_DESCRIPTION = (
{description}
)

# A pool of its own: in the shared one, other packages' messages have the same names.
_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(_DESCRIPTION)
DESCRIPTOR = _pool.FindFileByName("{name}.proto")

for _name, _message in DESCRIPTOR.message_types_by_name.items():
    globals()[_name] = message_factory.GetMessageClass(_message)
for _name, _enum in DESCRIPTOR.enum_types_by_name.items():
    globals()[_name] = enum_type_wrapper.EnumTypeWrapper(_enum)
    globals().update(globals()[_name].items())
'''

# protoc writes `Mapping` without what is in it.
_TYPES_HEAD = '# mypy: disable-error-code="type-arg"\n'


def generate(folder: Path) -> list[Path]:
    """Write the module and its types to a folder, and return their paths."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from grpc_tools import protoc  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory() as scratch:
        described = Path(scratch) / "described"
        failed = protoc.main(
            [
                "protoc",
                f"--proto_path={FOLDER}",
                f"--descriptor_set_out={described}",
                f"--pyi_out={scratch}",
                f"{NAME}.proto",
            ]
        )
        if failed:
            raise RuntimeError(f"protoc could not read {NAME}.proto")
        [file] = FileDescriptorSet.FromString(described.read_bytes()).file
        types = (Path(scratch) / f"{NAME}_pb2.pyi").read_text(encoding="utf-8")
    lines = "\n".join(f"    {line!r}" for line in _lines(file.SerializeToString()))
    made = {
        folder / f"{NAME}_pb2.py": _MODULE.format(name=NAME, description=lines),
        folder / f"{NAME}_pb2.pyi": _TYPES_HEAD + types,
    }
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return list(made)


def _lines(description: bytes) -> Iterator[bytes]:
    for start in range(0, len(description), _LINE):
        yield description[start : start + _LINE]


if __name__ == "__main__":
    generate(FOLDER)
