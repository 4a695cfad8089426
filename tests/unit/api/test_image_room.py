from contextlib import ExitStack

import pytest

from service.api.image_room import ImageRoom
from service.errors import QueueFull, TenantLimited, UnacceptableRequest


def test_what_is_held_is_let_go_of_however_the_block_ends() -> None:
    room = ImageRoom(100)
    with pytest.raises(KeyError), room.held("acme", 60):
        raise KeyError  # while it is held
    with room.held("acme", 100), pytest.raises(QueueFull), room.held("globex", 1):
        raise AssertionError("there was no room")


def test_beyond_the_bound_everybody_waits() -> None:
    room = ImageRoom(100)
    with (
        room.held("acme", 60),
        pytest.raises(QueueFull),
        room.held("globex", 50),
    ):
        raise AssertionError("there was no room")


def test_beside_its_first_request_a_tenant_leaves_room_to_others() -> None:
    room = ImageRoom(100)
    with ExitStack() as held:
        held.enter_context(room.held("acme", 20))
        held.enter_context(room.held("acme", 20))
        with pytest.raises(TenantLimited):
            held.enter_context(room.held("acme", 30))
        held.enter_context(room.held("globex", 50))
        with pytest.raises(QueueFull):
            held.enter_context(room.held("initech", 11))
        held.enter_context(room.held("initech", 10))


def test_what_never_fits_is_refused_for_good() -> None:
    with pytest.raises(UnacceptableRequest, match="send fewer"), ImageRoom(100).held("acme", 101):
        raise AssertionError("there was no room")
