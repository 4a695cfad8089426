from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from monitoring import codec


@dataclass(frozen=True, slots=True)
class Kept:
    name: str
    counts: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64] | None


KEPT = Kept("a", np.arange(6).reshape(2, 3), None)


def test_arrays_come_back_with_dtype_shape_and_bits() -> None:
    means = np.array([0.1, np.nan, -0.0])
    back = codec.decode(codec.encode(Kept("a", KEPT.counts, means)), Kept)
    assert back.name == "a"
    assert back.counts.dtype == np.int64
    assert back.counts.tolist() == KEPT.counts.tolist()
    assert back.means is not None
    assert back.means.tobytes() == means.tobytes()


def test_an_array_that_came_back_can_be_changed() -> None:
    back = codec.decode(codec.encode(KEPT), Kept)
    back.counts[0, 0] = 9
    assert back.counts[0, 0] == 9


def test_the_same_value_gives_the_same_bytes_whatever_its_memory_order() -> None:
    turned = Kept("a", np.asfortranarray(KEPT.counts), None)
    assert codec.encode(turned) == codec.encode(KEPT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        codec.encode({"name": "a", "counts": 5, "means": None}),
        codec.encode({"name": 5, "counts": KEPT.counts, "means": None}),
        codec.encode(KEPT)[:-1],
        codec.encode(KEPT).replace(b"<i8", b"|O8"),
        codec.encode(KEPT).replace(b"[2,3]", b"[2,9]"),
        codec.encode(KEPT).replace(b"[2,3]", b"[-2,"),
    ],
)
def test_bytes_that_are_no_such_value_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        codec.decode(data, Kept)


def test_an_object_without_a_form_is_not_kept() -> None:
    with pytest.raises(NotImplementedError):
        codec.encode(Kept("a", object(), None))  # type: ignore[arg-type]
