import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from service.engine.errors import InvalidAdapter
from service.engine.safetensors_file import HEADER_BYTES_MAX, TENSORS_MAX, read_tensors


def file_of(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    return size.to_bytes(8, "little") + text + data


def entry(shape: list[object], begin: object, end: object, dtype: object = "F32") -> object:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def problems_of(data: bytes) -> list[str]:
    with pytest.raises(InvalidAdapter) as caught:
        read_tensors(data)
    return [str(problem) for problem in caught.value.problems]


def test_a_file_of_the_library_is_read_as_it_was_written(tmp_path: Path) -> None:
    tensors: dict[str, NDArray[Any]] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([1.5, -2.25], np.float16),
        "c": np.array([[np.pi]], np.float64),
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(save(tensors, {"format": "pt"}))
    for source in (path, path.read_bytes()):
        found = read_tensors(source)
        assert set(found) == {"a", "b", "c"}
        for name, tensor in tensors.items():
            assert found[name].dtype == np.float32
            assert np.array_equal(found[name], tensor.astype(np.float32))


def test_bfloat16_is_the_upper_half_of_a_float32() -> None:
    values = np.array([1.0, -0.15625, 3.3895314e38, np.inf], np.float32)
    halves = (values.view(np.uint32) >> 16).astype("<u2")
    data = file_of({"x": entry([2, 2], 0, 8, "BF16")}, halves.tobytes())
    expected = (halves.astype(np.uint32) << 16).view(np.float32).reshape(2, 2)
    assert np.array_equal(read_tensors(data)["x"], expected)


def test_a_double_beyond_float32_becomes_infinite() -> None:
    data = file_of({"x": entry([1], 0, 8, "F64")}, np.array([1e300]).tobytes())
    assert np.isposinf(read_tensors(data)["x"]).all()


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        ({"x": entry([2], 0, 8, "I64")}, 8, "dtype 'I64'"),
        ({"x": entry([2], 0, 8, ["F32"])}, 8, "dtype"),
        ({"x": entry([2], 0, 9)}, 9, "9 bytes, but shape [2] of F32 takes 8"),
        ({"x": entry([2], 0, 8)}, 4, "outside of the file's 4 bytes"),
        ({"x": entry([2], -8, 0)}, 8, "outside of the file"),
        ({"x": entry([2], 8, 0)}, 8, "outside of the file"),
        ({"x": entry([2], 0.0, 8.0)}, 8, "outside of the file"),
        ({"x": entry([2], False, 8)}, 8, "outside of the file"),
        ({"x": entry([-2], 0, 8)}, 8, "unreadable shape"),
        ({"x": entry([True, 2], 0, 8)}, 8, "unreadable shape"),
        ({"x": entry(["2"], 0, 8)}, 8, "unreadable shape"),
        ({"x": entry([0, 1 << 31, 1 << 31, 1 << 31], 0, 0)}, 0, "unreadable shape"),
        ({"x": entry([1 << 40], 0, 8)}, 8, "unreadable shape"),
        ({"x": entry([1] * 9, 0, 4)}, 4, "unreadable shape"),
        ({"x": entry([1 << 31, 1 << 31], 0, 8)}, 8, "takes"),
        ({"x": {"dtype": "F32", "shape": [2]}}, 8, "exactly dtype, shape and data_offsets"),
        ({"x": [1]}, 8, "exactly dtype, shape and data_offsets"),
        ({"x": entry([1], 0, 4), "y": entry([1], 0, 4)}, 4, "shares bytes"),
        ({"x": entry([2], 0, 8), "y": entry([1], 4, 8)}, 8, "shares bytes"),
        ({"x": entry([1], 0, 4), "y": entry([1], 8, 12)}, 12, "begins at byte 8"),
        ({"x": entry([1], 0, 4)}, 8, "its tensors end at 4"),
        ({"": entry([1], 0, 4)}, 4, "printable ASCII"),
        ({"x\n": entry([1], 0, 4)}, 4, "printable ASCII"),
        ({"x" * 300: entry([1], 0, 4)}, 4, "printable ASCII"),
        ({"__metadata__": {"format": 1}}, 0, "texts to texts"),
    ],
)
def test_a_header_that_lies_is_refused(header: object, data: int, reason: str) -> None:
    assert any(reason in problem for problem in problems_of(file_of(header, b"\0" * data)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it has 0 bytes"),
        (b"\x80\x04\x95", "it has 3 bytes"),
        (file_of(b"{}", length=1 << 40), "a header of 1,099,511,627,776 bytes"),
        (file_of(b"{}", length=HEADER_BYTES_MAX + 1), "the limit is"),
        (file_of(b"{}", length=3), "cut off"),
        (file_of(b"[]"), "not a JSON object"),
        (file_of(b'{"x"'), "not JSON"),
        (file_of(b'{"x": 1, "x": 1}'), "'x' occurs twice"),
        (file_of(b"[" * 5000), "unreadable header"),
    ],
)
def test_what_is_no_safetensors_file_is_refused(data: bytes, reason: str) -> None:
    (problem,) = problems_of(data)
    assert problem.startswith("adapter_model.safetensors: ")
    assert reason in problem


def test_every_tensor_with_a_problem_is_named() -> None:
    header = {"good": entry([1], 0, 4), "bad": entry([2], 0, 4), "worse": entry([1], 0, 99)}
    found = problems_of(file_of(header, b"\0" * 4))
    assert [problem.split(":")[0] for problem in found] == [
        "adapter_model.safetensors/bad",
        "adapter_model.safetensors/worse",
    ]


def test_the_number_of_tensors_is_bounded() -> None:
    header: Mapping[str, object] = {str(i): 0 for i in range(TENSORS_MAX + 1)}
    (problem,) = problems_of(file_of(header))
    assert "8,193 tensors" in problem


def test_many_large_tensors_cannot_hide_in_few_bytes() -> None:
    # Each would take 4 MiB as float32; together they would be 8 GiB.
    header = {str(i): entry([1 << 20], 0, 1 << 21, "BF16") for i in range(2_000)}
    assert len(problems_of(file_of(header, b"\0" * (1 << 21)))) > 100
