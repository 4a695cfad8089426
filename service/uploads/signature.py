"""Signed packages: `model.sig`, as the OpenSSF's model-signing writes it (docs/adr/0015).

The library verifies folders, so the files lie in one while it looks, under names of ours. What it
finds right is held against the package once more: every file that is used must be signed, and
nothing may be signed that is not there.
"""

import base64
import binascii
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from service.engine.findings import Findings, shown
from service.engine.strict_json import UnreadableJson, parse_object
from service.errors import InvalidSettings
from service.uploads.archive import SIGNATURE_FILE

if TYPE_CHECKING:
    from model_signing import verifying

log = logging.getLogger(__name__)

KEY_SUFFIXES = (".pem", ".pub")

_KEYS_MAX = 100
_BYTES_MAX = 1 << 20
_DEPTH_MAX = 16
_PREDICATE = "https://model_signing/signature/v1.0"
_NAMED_MAX = 10


def check_signing_keys(folder: Path) -> None:
    """Raise `InvalidSettings` unless signatures can be verified with the folder's public keys."""
    try:
        import model_signing.verifying  # noqa: F401
    except ImportError as error:
        raise InvalidSettings(
            "signed uploads are asked for, and model-signing cannot be imported; it comes with"
            f" pip install 'tenantry[signing]': {error}"
        ) from error
    keys = _keys(folder)
    if not keys:
        raise InvalidSettings(
            f"{folder} holds no public keys: files that end in {' or '.join(KEY_SUFFIXES)}"
        )
    if len(keys) > _KEYS_MAX:
        raise InvalidSettings(f"{folder} holds {len(keys)} keys, and the limit is {_KEYS_MAX}")
    for key in keys:
        try:
            _verifier(key)
        except Exception as error:
            raise InvalidSettings(
                f"{key} is no public key on the curve P-256, P-384 or P-521, in PEM: {error}"
            ) from error


def verify_signature(
    files: Mapping[str, bytes], keys: Path, scratch: Path | None, findings: Findings
) -> str | None:
    """Return the name of the key that signed the files; find why where none did.

    The keys are looked for anew each time, so that they can be changed without a restart. Raises
    `OSError` where the files cannot be laid out.
    """
    signature = files.get(SIGNATURE_FILE)
    if signature is None:
        findings.add(
            f"package/{SIGNATURE_FILE}",
            "is missing; this server takes signed packages only: sign the folder with the"
            " command model_signing, and pack the signature with it",
        )
        return None
    signed = {name: data for name, data in files.items() if name != SIGNATURE_FILE}
    flaw = _flaw_of_names(signature, signed)
    if flaw is not None:
        findings.add(SIGNATURE_FILE, flaw)
        return None
    with tempfile.TemporaryDirectory(dir=scratch) as made:
        folder = Path(made) / "package"
        folder.mkdir()
        for name, data in signed.items():
            (folder / name).write_bytes(data)
        written = Path(made) / SIGNATURE_FILE
        written.write_bytes(signature)
        known = _keys(keys)[:_KEYS_MAX]
        for key in known:
            if _verifies(folder, written, key):
                return key.name
    findings.add(
        SIGNATURE_FILE,
        f"does not hold with any of the {len(known)} keys that this server trusts: a file was"
        " changed after it was signed, or another key has signed",
    )
    return None


def _keys(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if path.suffix in KEY_SUFFIXES and path.is_file()
        )
    except OSError as error:
        raise InvalidSettings(f"the public keys cannot be read: {error}") from error


def _verifier(key: Path) -> "verifying.Config":
    """Return a verifier; a new one each time, as it keeps how a signature wanted files hashed."""
    from model_signing import verifying

    config = verifying.Config()  # type: ignore[no-untyped-call]
    return config.use_elliptic_key_verifier(public_key=key)


def _verifies(folder: Path, signature: Path, key: Path) -> bool:
    try:
        _verifier(key).verify(folder, signature)
    except Exception as error:  # noqa: BLE001 - whatever it stumbles over, it does not hold
        log.info("a signature does not hold with the key %s: %s", key.name, type(error).__name__)
        return False
    return True


def _flaw_of_names(signature: bytes, signed: Mapping[str, bytes]) -> str | None:
    """Return what keeps a signature from being one of exactly these files, None for nothing.

    Nothing here is proven yet. But the library reads the same bytes, and would leave out what the
    signature tells it to ignore.
    """
    try:
        envelope = parse_object(signature, bytes_max=_BYTES_MAX, depth_max=_DEPTH_MAX)
        packed = envelope["dsseEnvelope"]["payload"]  # type: ignore[index]
        payload = base64.b64decode(packed, validate=True)
        document = parse_object(payload, bytes_max=_BYTES_MAX, depth_max=_DEPTH_MAX)
        kind = document["predicateType"]
        predicate = document["predicate"]
        method = predicate["serialization"]["method"]  # type: ignore[index]
        names = {str(item["name"]) for item in predicate["resources"]}  # type: ignore[index]
    except (UnreadableJson, binascii.Error, KeyError, TypeError, ValueError, IndexError):
        return "is no signature that model-signing writes with a key"
    if kind != _PREDICATE or method != "files":
        return "must be of the form v1.0, over whole files; sign without shards"
    unsigned = set(signed) - names
    if unsigned:
        return f"does not cover {_listed(unsigned)}; sign the folder as it is packed"
    missing = names - set(signed)
    if missing:
        return (
            f"covers {_listed(missing)}, which an upload does not take or which is missing; sign"
            " a folder that holds the adapter's own files alone"
        )
    return None


def _listed(names: set[str]) -> str:
    listed = [shown(name) for name in sorted(names)]
    more = len(listed) - _NAMED_MAX
    return ", ".join(listed[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
