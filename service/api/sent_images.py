"""Images as wires have them: a file's bytes, or text that holds them."""

import binascii
import re
from dataclasses import dataclass
from typing import Literal

from service.engine.errors import InvalidImage
from service.engine.images.decode import data_url
from service.engine.images.limits import Limits
from service.engine.images.preprocess import Encoded

Form = Literal["file", "data_url", "base64"]

_DATA_URL = re.compile(r"\s{0,16}data:image/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SentImage:
    """One image, not looked at yet."""

    data: bytes | str  # of a file: bytes; of the other forms: text
    form: Form = "file"
    declared: str | None = None  # media type that came beside a file

    def read(self, limits: Limits) -> Encoded:
        """Return the file's bytes, and its media type where one was given.

        Raises `InvalidImage` where the text holds none, and `ImageTooLarge`.
        """
        if isinstance(self.data, bytes):
            return self.data, self.declared
        if self.form == "data_url":
            return data_url(self.data, limits)
        try:
            return binascii.a2b_base64(self.data, strict_mode=True), None
        except (binascii.Error, ValueError) as error:
            raise InvalidImage(f"is not base64 of an image: {error}") from None


def from_text(text: str) -> SentImage:
    """Return the image that a text holds: a data URL, or else base64."""
    return SentImage(text, "data_url" if text[:5].lower() == "data:" else "base64")


def looks_like_image(text: str) -> bool:
    """Return whether a text is an image's data URL, which no tokeniser makes sense of."""
    return _DATA_URL.match(text) is not None
