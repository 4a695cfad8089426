from contextlib import ExitStack

import pytest

from service.api.desk import Desk
from service.errors import TenantLimited


def test_a_few_of_one_tenant_and_others_beside_them() -> None:
    desk = Desk(each_max=2)
    for _ in range(2):  # and every place comes back
        with ExitStack() as stack:
            for tenant in ("acme", "acme", "globex", None, None, None):
                stack.enter_context(desk.place(tenant))
            with pytest.raises(TenantLimited, match="2 requests") as limited:
                stack.enter_context(desk.place("acme"))
            assert limited.value.retry_after_s == 1.0


def test_an_error_gives_the_place_back() -> None:
    desk = Desk(each_max=1)
    for _ in range(2):
        with pytest.raises(ValueError, match="mine"), desk.place("acme"):
            raise ValueError("mine")
