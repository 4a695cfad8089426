import threading
import time

import pytest

from monitoring.state.turns import Turns

WAIT_S = 20.0


def test_whoever_has_it_may_take_it_again() -> None:
    turns = Turns()
    with turns, turns, turns:
        pass
    with turns:
        pass


def test_threads_get_it_in_the_order_in_which_they_asked() -> None:
    turns = Turns()
    got: list[int] = []

    def take(number: int) -> None:
        with turns:
            got.append(number)

    threads = []
    with turns:
        for number in range(8):
            thread = threading.Thread(target=take, args=(number,))
            thread.start()
            threads.append(thread)
            while len(turns._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(WAIT_S)
    assert got == list(range(8))


def test_a_busy_thread_does_not_starve_another() -> None:
    turns = Turns()
    stop = threading.Event()
    rounds = 0

    def work() -> None:
        nonlocal rounds
        while not stop.is_set():
            with turns:
                rounds += 1

    busy = threading.Thread(target=work)
    busy.start()
    try:
        for _ in range(100):
            with turns:
                pass
    finally:
        stop.set()
        busy.join(WAIT_S)
    assert not busy.is_alive()


def test_an_error_inside_gives_it_back() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns:
        _ = 1 / 0
    done = threading.Event()

    def take() -> None:
        with turns:
            done.set()

    threading.Thread(target=take).start()
    assert done.wait(WAIT_S)


def test_two_threads_never_have_it_at_once() -> None:
    turns = Turns()
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(300):
            with turns:
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert most == 1
