"""Shares of calls: what a tenant may hold beside others, and what comes back."""

import asyncio
from contextlib import ExitStack

import pytest

from service.errors import TenantLimited
from service.rpc.shares import Shares

pytestmark = pytest.mark.anyio


def taken(shares: Shares, stack: ExitStack, tenant: str | None) -> int:
    """Take all the calls that a tenant may have; return how many they are."""
    count = 0
    while count < 1000:
        try:
            stack.enter_context(shares.call(tenant))
        except TenantLimited:
            break
        count += 1
    return count


def test_a_tenant_holds_half_of_the_calls_and_the_next_ones_half_of_the_rest() -> None:
    shares = Shares(16, 1)
    for _ in range(2):  # and all of it comes back
        with ExitStack() as stack:
            assert [taken(shares, stack, name) for name in ("acme", "globex", "zeta")] == [8, 4, 2]


def test_a_tenant_without_calls_gets_one_whatever_others_hold() -> None:
    shares = Shares(2, 1)
    with shares.call("acme"), shares.call("globex"), shares.call("zeta"):
        pass


def test_an_operator_s_calls_have_no_share() -> None:
    shares = Shares(4, 1)
    with ExitStack() as stack:
        assert taken(shares, stack, None) == 1000


async def test_a_tenant_has_half_of_the_turns_to_receive() -> None:
    shares = Shares(100, 4)
    inside: list[str] = []
    end = asyncio.Event()

    async def stall(tenant: str) -> None:
        async with shares.receiving(tenant):
            inside.append(tenant)
            await end.wait()

    stalled = [asyncio.ensure_future(stall("acme")) for _ in range(9)]
    stalled += [asyncio.ensure_future(stall("globex")) for _ in range(9)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(inside) == ["acme"] * 2 + ["globex"] * 2
    end.set()
    await asyncio.gather(*stalled)
    assert len(inside) == 18


async def test_the_only_turn_is_for_everybody() -> None:
    shares = Shares(100, 1)
    for tenant in ("acme", None):
        async with shares.receiving(tenant):
            pass
