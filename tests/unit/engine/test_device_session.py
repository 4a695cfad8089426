"""The session of a GPU, with a device in host memory and ONNX Runtime's own processor kernels."""

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
import pytest

from service.engine import device_session
from service.engine.device_session import DeviceSession, run_options
from service.engine.feed import GraphInputs
from tests.fakes.device import HostDevice
from tests.fakes.graphs import embedding_graph

BANK = np.arange(40, dtype=np.float32).reshape(10, 4)


class Recording(ort.InferenceSession):  # type: ignore[misc]
    """A session that notes the options of each pass, and the graphs that are let go of."""

    def __init__(self) -> None:
        super().__init__(embedding_graph().SerializeToString(), providers=["CPUExecutionProvider"])
        self.graphs: list[str] = []
        self.unwaited: list[str] = []
        self.released: list[int] = []

    def run_with_iobinding(
        self, iobinding: ort.IOBinding, run_options: ort.RunOptions | None = None
    ) -> None:
        assert run_options is not None
        self.graphs.append(run_options.get_run_config_entry("gpu_graph_id"))
        entry = "disable_synchronize_execution_providers"
        self.unwaited.append(run_options.get_run_config_entry(entry))
        super().run_with_iobinding(iobinding, run_options)

    def release_captured_graph(self, graph_annotation_id: int = 0) -> None:
        self.released.append(graph_annotation_id)


def inputs(rows: int, tokens: int, first: list[int]) -> GraphInputs:
    ids = np.arange(rows * tokens, dtype=np.int64).reshape(rows, tokens)
    return {"ids": ids, "first": np.array(first, dtype=np.int64)}


def made(
    device: HostDevice, *, graphs: bool = False
) -> tuple[DeviceSession, Recording, Mapping[str, ort.OrtValue]]:
    session = Recording()
    banks = {"A.layer": ort.OrtValue.ortvalue_from_numpy(BANK.copy())}
    return DeviceSession(session, banks, device, graphs=graphs), session, banks


def expected(given: GraphInputs) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return BANK[given["first"]] + np.float32(given["ids"].sum())


def test_answers_are_those_of_the_graph_whatever_the_shapes_and_their_order() -> None:
    session, _, _ = made(HostDevice())
    for given in (
        inputs(1, 8, [0, 3]),
        inputs(2, 8, [9, 1, 1]),
        inputs(1, 8, [5, 6]),
        inputs(2, 8, [2, 2, 0]),
    ):
        pooled, embedding = session.run(given)
        assert pooled.dtype == embedding.dtype == np.float32
        assert (embedding == expected(given)).all()
        assert (pooled == 2 * expected(given)).all()


def test_an_answer_is_not_changed_by_the_next_pass() -> None:
    session, _, _ = made(HostDevice())
    _, first = session.run(inputs(1, 8, [0]))
    kept = first.copy()
    session.run(inputs(1, 8, [9]))
    assert (first == kept).all()


def test_a_pass_is_one_copy_in_one_copy_out_and_one_wait() -> None:
    device = HostDevice()
    session, recorded, _ = made(device)
    session.run(inputs(1, 8, [0, 3]))
    device.copied.clear()
    device.fetched.clear()
    device.waits = 0
    session.run(inputs(1, 8, [4, 4]))
    assert len(device.copied) == len(device.fetched) == device.waits == 1
    assert device.copied[0] <= 8 * 8 + 2 * 8 + 2 * 256
    assert set(recorded.unwaited) == {"1"}


def test_memory_is_taken_once_for_each_combination_of_shapes() -> None:
    device = HostDevice()
    session, _, _ = made(device)
    for tokens in (8, 16, 8, 16, 8):
        session.run(inputs(1, tokens, [0]))
    assert len(device.held) == 4


def test_a_write_to_the_bank_is_seen_by_the_next_pass() -> None:
    session, _, banks = made(HostDevice())
    session.run(inputs(1, 8, [2]))
    banks["A.layer"].update_inplace(BANK + 100)
    given = inputs(1, 8, [2])
    assert (session.run(given)[1] == expected(given) + 100).all()


def test_without_graphs_no_pass_is_recorded() -> None:
    session, recorded, _ = made(HostDevice())
    session.run(inputs(1, 8, [0]))
    session.run(inputs(1, 8, [0]))
    assert set(recorded.graphs) == {"-1"}


def test_each_combination_of_shapes_has_a_graph_of_its_own_after_one_pass_without() -> None:
    session, recorded, _ = made(HostDevice(), graphs=True)
    for tokens in (8, 16, 8):
        session.run(inputs(1, tokens, [0]))
    assert recorded.graphs == ["-1", "1", "-1", "2", "1"]


def test_places_beyond_the_limit_give_their_memory_and_their_graph_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_session, "_PLACES_MAX", 2)
    device = HostDevice()
    session, recorded, _ = made(device, graphs=True)
    for tokens in (8, 16, 8, 24, 16):
        given = inputs(1, tokens, [1])
        assert (session.run(given)[1] == expected(given)).all()
    assert len(device.held) == 4
    assert recorded.released == [2, 1]
    assert recorded.graphs[-1] == "4", "an id of a released graph is not used again"


def test_the_options_of_a_pass_are_those_that_onnx_runtime_reads() -> None:
    options = run_options("7")
    assert options.get_run_config_entry("gpu_graph_id") == "7"
    assert options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
