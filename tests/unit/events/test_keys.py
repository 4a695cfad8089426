import base64
import threading
from pathlib import Path

import orjson
import pytest

from service.events.ids import InvalidPredictionId, PredictionId, Signer
from service.events.keys import (
    KEY_FILE,
    InvalidKeyFile,
    KeyRing,
    Rotated,
    rotate,
)

PREDICTION = PredictionId(b"12345678", 1, 2, 0.5)


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    KeyRing.open(tmp_path)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE], "no draft is left"


def test_later_starts_read_the_same_key(tmp_path: Path) -> None:
    text = KeyRing.open(tmp_path).signer.issue(PREDICTION, b"nonce")
    assert KeyRing.open(tmp_path).signer.read(text).class_index == 2


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    signers: list[Signer] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        signers.append(KeyRing.open(tmp_path).signer)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = signers[0].issue(PREDICTION, b"nonce")
    assert [signer.read(text).class_index for signer in signers] == [2] * 8


def test_every_key_of_the_file_is_read_and_the_current_one_signs(tmp_path: Path) -> None:
    keys = {"0": b"o" * 32, "4": b"n" * 32}
    document = {"current": 4, "keys": {n: base64.b64encode(k).decode() for n, k in keys.items()}}
    path = tmp_path / KEY_FILE
    path.write_bytes(orjson.dumps(document))
    path.chmod(0o600)
    old = Signer({0: b"o" * 32}, 0).issue(PREDICTION, b"nonce")
    assert KeyRing.open(tmp_path).signer.read(old).class_index == 2
    assert Signer({4: b"n" * 32}, 4).read(KeyRing.open(tmp_path).signer.issue(PREDICTION, b"nonce"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"current": 0, "keys": {}}',
        '{"current": 0, "keys": {"0": "short"}}',
        '{"current": 1, "keys": {"0": "' + base64.b64encode(b"k" * 32).decode() + '"}}',
        '{"current": 16, "keys": {"16": "' + base64.b64encode(b"k" * 32).decode() + '"}}',
    ],
)
def test_a_damaged_file_is_named_and_never_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / KEY_FILE
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InvalidKeyFile, match="backup"):
        KeyRing.open(tmp_path)
    assert path.read_text() == text


def test_a_key_that_everyone_can_read_is_refused(tmp_path: Path) -> None:
    KeyRing.open(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(InvalidKeyFile, match="chmod 600"):
        KeyRing.open(tmp_path)


# --- rotation ----------------------------------------------------------------------------


def test_a_rotation_signs_with_a_new_key_and_still_reads_the_old_ids(tmp_path: Path) -> None:
    old = KeyRing.open(tmp_path).signer.issue(PREDICTION, b"nonce")
    assert rotate(tmp_path) == Rotated(current=1, kept=(0,), dropped=None)
    signer = KeyRing.open(tmp_path).signer
    new = signer.issue(PREDICTION, b"nonce")
    assert base64.urlsafe_b64decode(new)[0] == 0x11
    assert signer.read(old) == signer.read(new)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE], "no draft is left"


def test_the_oldest_key_makes_room_and_is_named(tmp_path: Path) -> None:
    ids = [KeyRing.open(tmp_path).signer.issue(PREDICTION, b"nonce")]
    for turn in range(1, 16):
        assert rotate(tmp_path) == Rotated(turn, tuple(range(turn)), None)
        ids.append(KeyRing.open(tmp_path).signer.issue(PREDICTION, b"nonce"))
    assert rotate(tmp_path) == Rotated(0, tuple(range(1, 16)), dropped=0)
    assert rotate(tmp_path).dropped == 1
    signer = KeyRing.open(tmp_path).signer
    for text in ids[:2]:
        with pytest.raises(InvalidPredictionId):
            signer.read(text)
    assert [signer.read(text).class_index for text in ids[2:]] == [2] * 14


def test_rotations_at_once_are_done_one_after_the_other(tmp_path: Path) -> None:
    KeyRing.open(tmp_path)
    done: list[Rotated] = []
    threads = [threading.Thread(target=lambda: done.append(rotate(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rotated.current for rotated in done) == list(range(1, 9))


def test_there_is_nothing_to_rotate_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidKeyFile, match="is not there"):
        rotate(tmp_path)


def test_a_key_ring_takes_over_a_rotation(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path)
    before = ring.signer
    assert not ring.refresh()
    assert ring.signer is before
    rotate(tmp_path)
    assert ring.refresh()
    assert not ring.refresh()
    assert base64.urlsafe_b64decode(ring.signer.issue(PREDICTION, b"nonce"))[0] == 0x11


def test_a_key_ring_reads_an_id_of_a_process_that_knows_a_newer_key(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path)
    rotate(tmp_path)
    text = KeyRing.open(tmp_path).signer.issue(PREDICTION, b"nonce")
    assert ring.read(text).class_index == 2
    with pytest.raises(InvalidPredictionId):
        ring.read("A" * 48)


@pytest.mark.parametrize("damage", ["broken", "gone", "open to all"])
def test_a_broken_file_keeps_the_old_keys_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    ring = KeyRing.open(tmp_path)
    text = ring.signer.issue(PREDICTION, b"nonce")
    path = tmp_path / KEY_FILE
    whole = path.read_bytes()
    if damage == "broken":
        path.write_bytes(b"{")
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole + b" ")
        path.chmod(0o644)
    for _ in range(3):
        assert not ring.refresh()
    assert ring.failure is not None
    assert ring.read(text).class_index == 2
    assert caplog.text.count("those read before stay in use") == 1
    path.write_bytes(whole + b"  ")
    path.chmod(0o600)
    assert ring.refresh()
    assert ring.failure is None
