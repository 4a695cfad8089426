"""The bank in host memory, the bank on a device, and the rows of one batch."""

from typing import Literal

import numpy as np
import pytest
import torch

from service.engine.adapter import Adapter, FloatArray
from service.engine.bank import HostBank, bfloat16_bits, input_names
from service.engine.device_bank import DeviceBank
from service.engine.feed import Lease
from tests.fakes.adapters import adapter_of
from tests.fakes.device import HostDevice
from tests.fakes.manifests import manifest_of

MANIFEST = manifest_of("bert", endings=("query", "output.dense"), max_rank=4)
TARGETS = MANIFEST.targets


class ReadableDeviceBank(DeviceBank):
    """A device bank in host memory."""

    def __init__(self, slots: int) -> None:
        super().__init__(MANIFEST, slots, HostDevice())

    @property
    def arrays(self) -> list[FloatArray]:
        return [value.numpy() for value in self.values]


Readable = HostBank | ReadableDeviceBank


@pytest.fixture(params=["host", "device"])
def bank(request: pytest.FixtureRequest) -> Readable:
    return HostBank(MANIFEST, 3) if request.param == "host" else ReadableDeviceBank(3)


def held(bank: Readable, lease: Lease) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return what lies in the rows of a lease, by target."""
    rows = slice(lease.first, lease.first + lease.rank)
    arrays = bank.arrays
    return {
        target.name: (arrays[2 * i][rows], arrays[2 * i + 1][rows])
        for i, target in enumerate(TARGETS)
    }


def assert_holds(bank: Readable, lease: Lease, adapter: Adapter) -> None:
    for name, (a, b) in held(bank, lease).items():
        if name not in adapter.deltas:
            assert not a.any()
            assert not b.any()
            continue
        for found, own in zip((a, b), adapter.deltas[name], strict=True):
            assert (found[: len(own)] == own).all()
            assert not found[len(own) :].any()


def test_the_graphs_inputs_alternate_a_and_b_in_the_order_of_targets() -> None:
    names = input_names(TARGETS)
    assert len(names) == 2 * len(TARGETS)
    assert names[:2] == [f"A.{TARGETS[0].name}", f"B.{TARGETS[0].name}"]


def test_arrays_have_the_widths_of_the_targets_and_a_slot_of_zeros_in_front(
    bank: Readable,
) -> None:
    for i, target in enumerate(TARGETS):
        assert bank.arrays[2 * i].shape == (16, target.in_features)
        assert bank.arrays[2 * i + 1].shape == (16, target.out_features)
    bank.write(1, adapter_of(MANIFEST, "a"))
    assert not any(array[:4].any() for array in bank.arrays)


def test_an_adapter_lies_in_the_rows_that_its_lease_says(bank: Readable) -> None:
    adapter = adapter_of(MANIFEST, "a", rank=3)
    lease = bank.write(2, adapter)
    assert lease == Lease(8, 3)
    assert_holds(bank, lease, adapter)


def test_neighbouring_slots_are_left_alone(bank: Readable) -> None:
    one, two, three = (adapter_of(MANIFEST, f"a{i}", rank=4, seed=i) for i in range(3))
    leases = [bank.write(slot, adapter) for slot, adapter in ((1, one), (3, three), (2, two))]
    for lease, adapter in zip(leases, (one, three, two), strict=True):
        assert_holds(bank, lease, adapter)


def test_nothing_of_the_last_tenant_is_left_in_the_rows_of_the_next(bank: Readable) -> None:
    bank.write(1, adapter_of(MANIFEST, "wide", rank=4))
    some = adapter_of(MANIFEST, "some", rank=2, targets=[TARGETS[1].name])
    assert_holds(bank, bank.write(1, some), some)


def test_a_target_of_smaller_rank_is_filled_up_with_zeros(bank: Readable) -> None:
    bank.write(1, adapter_of(MANIFEST, "wide", rank=4))
    wide, narrow = adapter_of(MANIFEST, "x", rank=4), adapter_of(MANIFEST, "y", rank=1)
    mixed = {**wide.deltas, TARGETS[0].name: narrow.deltas[TARGETS[0].name]}
    adapter = Adapter("sha256:mixed", 4, mixed, {}, ("a", "b"))
    assert_holds(bank, bank.write(1, adapter), adapter)


def test_a_head_alone_takes_no_rows(bank: Readable) -> None:
    assert bank.write(1, adapter_of(MANIFEST, "head", rank=0)) == Lease(4, 0)


@pytest.mark.parametrize("slot", [0, 4])
def test_the_backbones_slot_and_slots_beyond_the_last_cannot_be_written(
    bank: Readable, slot: int
) -> None:
    with pytest.raises(AssertionError, match="slot 0"):
        bank.write(slot, adapter_of(MANIFEST, "a"))


def test_an_adapter_of_more_rank_than_a_slot_has_would_reach_into_the_next(
    bank: Readable,
) -> None:
    with pytest.raises(AssertionError, match="next slot"):
        bank.write(1, adapter_of(MANIFEST, "a", rank=5))


def test_a_copy_that_fails_is_not_taken_for_a_write() -> None:
    class Broken(HostDevice):
        def copy_in(self, destination: int, source: int, count: int) -> None:
            raise OSError(f"{destination} {source} {count}")

    with pytest.raises(OSError, match=r"\d"):
        DeviceBank(MANIFEST, 1, Broken()).write(1, adapter_of(MANIFEST, "a"))


@pytest.mark.parametrize(("kind", "width"), [("fp32", 4), ("fp16", 2)])
def test_a_write_to_a_device_costs_the_bytes_of_its_own_rank_and_no_others(
    kind: Literal["fp32", "fp16"], width: int
) -> None:
    device = HostDevice()
    bank = DeviceBank(MANIFEST, 100, device, kind)
    assert device.copied == []
    bank.write(50, adapter_of(MANIFEST, "a", rank=3))
    sizes = [size for t in TARGETS for size in (t.in_features, t.out_features)]
    assert device.copied == [3 * size * width for size in sizes]


def test_a_head_alone_copies_nothing_to_a_device() -> None:
    device = HostDevice()
    assert DeviceBank(MANIFEST, 1, device).write(1, adapter_of(MANIFEST, "h", rank=0)).rank == 0
    assert device.copied == []


def test_a_device_bank_of_fp16_holds_the_nearest_fp16_values() -> None:
    bank = DeviceBank(MANIFEST, 3, HostDevice(), "fp16")
    adapter = adapter_of(MANIFEST, "a", rank=2)
    lease = bank.write(2, adapter)
    for i, target in enumerate(TARGETS):
        for side in (0, 1):
            rows = bank.values[2 * i + side].numpy()[lease.first : lease.first + 2]
            assert rows.dtype == np.float16
            assert (rows == adapter.deltas[target.name][side].astype(np.float16)).all()


def test_bfloat16_bits_are_those_of_torch() -> None:
    random = np.random.default_rng(0)
    x = (random.standard_normal(4096) * 10.0 ** random.integers(-20, 20, 4096)).astype(np.float32)
    x[:6] = [0.0, -0.0, 1.00390625, 1.01171875, -1.00390625, 3e38]  # ties, signs, the largest
    expected = torch.from_numpy(x).to(torch.bfloat16).view(torch.uint16).numpy()
    assert (bfloat16_bits(x) == expected).all()


def test_a_half_bank_holds_the_nearest_bfloat16_values() -> None:
    bank = HostBank(MANIFEST, 3, half=True)
    adapter = adapter_of(MANIFEST, "a", rank=2)
    lease = bank.write(2, adapter)
    for i, target in enumerate(TARGETS):
        for side in (0, 1):
            rows = bank.arrays[2 * i + side][lease.first : lease.first + 2]
            assert (rows == bfloat16_bits(adapter.deltas[target.name][side])).all()
    assert not any(array[: lease.first].any() for array in bank.arrays)
