"""Packages signed as an ML team signs them: with the library's own signer and a key of its own."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import signing

SIGNATURE = "model.sig"


class SigningKey:
    """A key pair on the curve P-256; `name` is what its public part is called."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        private = ec.generate_private_key(ec.SECP256R1())
        self._private = folder / f"{name}.key"
        self._private.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self._public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def trusted_in(self, folder: Path) -> Path:
        """Put the public key into a folder of trusted ones, and return the folder."""
        folder.mkdir(exist_ok=True)
        (folder / f"{self.name}.pub").write_bytes(self._public)
        return folder

    def signed(self, files: Mapping[str, bytes], how: Any = None) -> dict[str, bytes]:
        """Return the files and their signature; `how` is the library's own way of hashing."""
        with tempfile.TemporaryDirectory() as scratch:
            folder, signature = Path(scratch) / "package", Path(scratch) / SIGNATURE
            folder.mkdir()
            for name, data in files.items():
                (folder / name).write_bytes(data)
            config: Any = signing.Config()  # type: ignore[no-untyped-call]
            config.use_elliptic_key_signer(private_key=self._private)
            if how is not None:
                config.set_hashing_config(how)
            config.sign(folder, signature)
            return {**files, SIGNATURE: signature.read_bytes()}
