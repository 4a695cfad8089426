import hmac
import logging
import os
from pathlib import Path

import pytest

from service.credentials.admin_keys import CHECK_S, AdminKeys, UnusableAdminKeys


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def step(self) -> None:
        self.now_s += CHECK_S


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "admin-keys"
    path.write_bytes(b"# the old one\nold-key\n\n  new-key \r\n")
    path.chmod(0o600)
    return path


def held(keys: AdminKeys, *tried: str) -> set[str]:
    return {key for key in tried if keys.hold(key.encode())}


EVERY = ("own-key", "old-key", "new-key", "third-key", "# the old one", "", "old-key\n")


def test_every_key_of_the_file_and_that_of_the_settings_are_valid_at_once(path: Path) -> None:
    assert held(AdminKeys("own-key", path), *EVERY) == {"own-key", "old-key", "new-key"}
    assert held(AdminKeys(None, path), *EVERY) == {"old-key", "new-key"}
    assert held(AdminKeys("own-key", None), *EVERY) == {"own-key"}


@pytest.mark.parametrize("tried", ["own-key", "old-key", "new-key", "wrong"])
def test_a_key_is_compared_with_every_key_whichever_is_right(
    path: Path, monkeypatch: pytest.MonkeyPatch, tried: str
) -> None:
    keys = AdminKeys("own-key", path)
    compare, lengths = hmac.compare_digest, []

    def counting(given: bytes, known: bytes) -> bool:
        lengths.append((len(given), len(known)))
        return compare(given, known)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert keys.hold(tried.encode()) == (tried != "wrong")
    assert lengths == [(32, 32)] * 3


def test_keys_are_replaced_while_the_process_runs(path: Path, clock: FakeClock) -> None:
    keys = AdminKeys("own-key", path, clock)
    path.write_text("third-key\n")
    assert held(keys, *EVERY) == {"own-key", "old-key", "new-key"}, "not looked at so soon"
    clock.step()
    assert held(keys, *EVERY) == {"own-key", "third-key"}


def test_a_file_that_is_put_in_the_place_of_another_is_read(path: Path, clock: FakeClock) -> None:
    keys = AdminKeys(None, path, clock)
    later = path.with_name("later")
    later.write_text("third-key")
    later.replace(path)
    clock.step()
    assert held(keys, *EVERY) == {"third-key"}


def test_a_change_within_one_tick_of_the_file_s_time_is_seen(path: Path, clock: FakeClock) -> None:
    path.write_text("key-1")
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    keys = AdminKeys(None, path, clock)
    with path.open("r+") as file:
        file.write("key-2")
    os.utime(path, ns=times)
    clock.step()
    assert held(keys, "key-1", "key-2") == {"key-2"}


BROKEN = [b"", b"# nothing\n\n", b"two words\n", "schlüssel".encode(), b"a\x00b", b"x" * 70_000]


@pytest.mark.parametrize("content", BROKEN)
def test_a_file_that_becomes_unusable_keeps_the_old_keys_and_says_so_once(
    path: Path, clock: FakeClock, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    keys = AdminKeys(None, path, clock)
    path.write_bytes(content)
    for _ in range(3):
        clock.step()
        assert held(keys, *EVERY) == {"old-key", "new-key"}
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert str(path) in errors[0]
    assert "words" not in errors[0]


def test_a_file_that_vanishes_keeps_the_old_keys_until_it_is_back(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    keys = AdminKeys(None, path, clock)
    path.unlink()
    clock.step()
    assert held(keys, *EVERY) == {"old-key", "new-key"}
    assert "No such file" in caplog.text
    path.write_text("third-key")
    clock.step()
    assert held(keys, *EVERY) == {"third-key"}


@pytest.mark.parametrize("content", BROKEN)
def test_at_the_start_an_unusable_file_is_an_error_that_tells_nothing_of_it(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(UnusableAdminKeys, match="the file of admin keys") as refused:
        AdminKeys("own-key", path)
    assert "words" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_at_the_start_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnusableAdminKeys, match="No such file"):
        AdminKeys(None, tmp_path / "nowhere")


def test_keys_are_never_logged(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = AdminKeys("own-key", path, clock)
    path.write_text("third-key\nbad key\n")
    clock.step()
    keys.hold(b"tried-key")
    assert caplog.records
    for key in ("own-key", "old-key", "new-key", "third-key", "bad key", "tried-key"):
        assert key not in caplog.text


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_file_that_everyone_can_read_is_warned_of(
    path: Path, mode: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path.chmod(mode)
    AdminKeys(None, path)
    assert ("chmod o-rwx" in caplog.text) == warned
