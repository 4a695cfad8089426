import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from model_signing import hashing

from service.engine.errors import InvalidAdapter
from service.engine.findings import Findings
from service.errors import InvalidSettings
from service.uploads.signature import check_signing_keys, verify_signature
from tests.fakes.signing import SigningKey

FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights", "README.md": b"#"}


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey(tmp_path, "ours")


@pytest.fixture
def trusted(key: SigningKey, tmp_path: Path) -> Path:
    return key.trusted_in(tmp_path / "trusted")


def verified(files: dict[str, bytes], trusted: Path) -> str | None:
    findings = Findings()
    name = verify_signature(files, trusted, None, findings)
    findings.settle()
    return name


def flaw_of(files: dict[str, bytes], trusted: Path) -> str:
    with pytest.raises(InvalidAdapter) as caught:
        verified(files, trusted)
    (problem,) = caught.value.problems
    assert problem.where.endswith("model.sig")
    return problem.what


def test_a_signed_package_is_taken_and_the_key_named(key: SigningKey, trusted: Path) -> None:
    assert verified(key.signed(FILES), trusted) == "ours.pub"


def test_any_of_the_trusted_keys_will_do(key: SigningKey, trusted: Path, tmp_path: Path) -> None:
    SigningKey(tmp_path, "another").trusted_in(trusted)
    assert verified(key.signed(FILES), trusted) == "ours.pub"


def test_a_key_is_trusted_from_when_it_is_there_until_it_is_gone(
    trusted: Path, tmp_path: Path
) -> None:
    newer = SigningKey(tmp_path, "newer")
    signed = newer.signed(FILES)
    assert "any of the 1 keys" in flaw_of(signed, trusted)
    newer.trusted_in(trusted)
    assert verified(signed, trusted) == "newer.pub"
    (trusted / "newer.pub").unlink()
    assert "any of the 1 keys" in flaw_of(signed, trusted)


def test_an_unsigned_package_is_told_how_to_be_signed(trusted: Path) -> None:
    assert "this server takes signed packages only" in flaw_of(dict(FILES), trusted)


def test_a_package_that_another_key_signed_is_refused(trusted: Path, tmp_path: Path) -> None:
    foreign = SigningKey(tmp_path, "foreign")
    assert "another key has signed" in flaw_of(foreign.signed(FILES), trusted)


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_that_was_changed_is_found(key: SigningKey, trusted: Path, name: str) -> None:
    changed = {**key.signed(FILES), name: b"something else"}
    assert "a file was changed" in flaw_of(changed, trusted)


def test_a_file_that_was_added_is_named(key: SigningKey, trusted: Path) -> None:
    more = {**key.signed(FILES), "holdout.jsonl": b"{}"}
    assert flaw_of(more, trusted).startswith("does not cover holdout.jsonl")


def test_a_file_that_was_taken_out_is_named(key: SigningKey, trusted: Path) -> None:
    fewer = key.signed({**FILES, "tokenizer.json": b"{}"})
    del fewer["tokenizer.json"]
    assert flaw_of(fewer, trusted).startswith("covers tokenizer.json, which an upload does not")


def test_a_file_that_the_signature_says_to_ignore_is_not_signed(
    key: SigningKey, trusted: Path
) -> None:
    how = hashing.Config()  # type: ignore[no-untyped-call]
    how.set_ignored_paths(paths=["adapter_model.safetensors"])
    swapped = {**key.signed(FILES, how), "adapter_model.safetensors": b"other weights"}
    assert flaw_of(swapped, trusted).startswith("does not cover adapter_model.safetensors")


def test_a_signature_over_parts_of_files_is_refused(key: SigningKey, trusted: Path) -> None:
    how = hashing.Config()  # type: ignore[no-untyped-call]
    assert "without shards" in flaw_of(key.signed(FILES, how.use_shard_serialization()), trusted)


def forged(signature: bytes, change: Any) -> bytes:
    """Return a signature whose payload says something else."""
    document = json.loads(signature)
    payload = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    change(payload)
    packed = base64.b64encode(json.dumps(payload).encode())
    document["dsseEnvelope"]["payload"] = packed.decode()
    return json.dumps(document).encode()


def test_what_a_signature_says_counts_only_where_it_is_signed(
    key: SigningKey, trusted: Path
) -> None:
    signed = key.signed(FILES)

    def cover(payload: Any) -> None:
        payload["predicate"]["resources"].append(
            {"name": "holdout.jsonl", "algorithm": "sha256", "digest": "00" * 32}
        )

    signed["model.sig"] = forged(signed["model.sig"], cover)
    assert "does not hold" in flaw_of({**signed, "holdout.jsonl": b"{}"}, trusted)


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd"])
def test_a_name_in_a_signature_is_never_followed(key: SigningKey, trusted: Path, name: str) -> None:
    signed = key.signed(FILES)

    def point_out(payload: Any) -> None:
        payload["predicate"]["resources"][0]["name"] = name

    signed["model.sig"] = forged(signed["model.sig"], point_out)
    assert flaw_of(signed, trusted).startswith("does not cover")


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"[]",
        b"{}",
        b'{"dsseEnvelope": {"payload": "?"}}',
        b'{"dsseEnvelope": {"payload": "e30="}}',
        b'{"dsseEnvelope": "payload"}',
        b'{"a":' * 5000,
        base64.b64encode(b"x" * 1000),
        b"\xff\xfe",
    ],
)
def test_what_is_no_signature_is_refused(signature: bytes, trusted: Path) -> None:
    assert "is no signature" in flaw_of({**FILES, "model.sig": signature}, trusted)


def test_nothing_is_left_where_a_package_was_verified(
    key: SigningKey, trusted: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    findings = Findings()
    assert verify_signature(key.signed(FILES), trusted, scratch, findings)
    assert not list(scratch.iterdir())


def test_keys_that_can_be_used_are_taken_at_start(trusted: Path) -> None:
    check_signing_keys(trusted)


def test_a_folder_without_keys_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        check_signing_keys(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no key")
    with pytest.raises(InvalidSettings, match="holds no public keys"):
        check_signing_keys(tmp_path)


def test_a_key_of_another_kind_is_refused_at_start(trusted: Path) -> None:
    (trusted / "rsa.pem").write_text("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n")
    with pytest.raises(InvalidSettings, match=r"rsa\.pem is no public key"):
        check_signing_keys(trusted)


def test_a_missing_library_is_told_at_start(trusted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(InvalidSettings, match=r"tenantry\[signing\]"):
        check_signing_keys(trusted)
