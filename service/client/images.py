"""Images to classify: a file's bytes with their media type, as a data URL holds them."""

import base64
from dataclasses import dataclass
from pathlib import Path

from service.client.errors import InvalidCall

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)


@dataclass(frozen=True, slots=True)
class Image:
    """One image, to be given among the inputs of `predict` where a text would be."""

    data: bytes  # of the file
    name: str = "image"  # for people

    @staticmethod
    def read(path: Path) -> "Image":
        """Return the image of a file; raise `InvalidCall` where it cannot be read."""
        try:
            return Image(path.read_bytes(), path.name)
        except OSError as error:
            raise InvalidCall(f"{path} cannot be read: {error}") from error

    @property
    def media_type(self) -> str:
        """Return the type that the first bytes tell; raise `InvalidCall` for none that is known."""
        if self.data[:4] == b"RIFF" and self.data[8:12] == b"WEBP":
            return "image/webp"
        for magic, found in _MAGIC:
            if self.data.startswith(magic):
                return found
        raise InvalidCall(
            f"{self.name} is no image of a known type", advice="send JPEG, PNG, WebP, GIF or BMP"
        )

    def url(self) -> str:
        """Return it as a data URL."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"
