import base64
import threading
from pathlib import Path

import orjson
import pytest

from service.events.ids import PredictionId, Signer
from service.events.keys import KEY_FILE, InvalidKeyFile, open_signer

PREDICTION = PredictionId(b"12345678", 1, 2, 0.5)


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    open_signer(tmp_path)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE], "no draft is left"


def test_later_starts_read_the_same_key(tmp_path: Path) -> None:
    text = open_signer(tmp_path).issue(PREDICTION, b"nonce")
    assert open_signer(tmp_path).read(text).class_index == 2


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    signers: list[Signer] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        signers.append(open_signer(tmp_path))

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
    assert open_signer(tmp_path).read(old).class_index == 2
    assert Signer({4: b"n" * 32}, 4).read(open_signer(tmp_path).issue(PREDICTION, b"nonce"))


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
        open_signer(tmp_path)
    assert path.read_text() == text


def test_a_key_that_everyone_can_read_is_refused(tmp_path: Path) -> None:
    open_signer(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(InvalidKeyFile, match="chmod 600"):
        open_signer(tmp_path)
