"""The form of an upload: its parts, taken from the wire without ever holding the package.

The package goes to a file that has no name, so that whatever happens nothing is left of it; the
metadata stays in memory, and is small.
"""

from typing import IO, TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.engine.errors import InvalidAdapter, Problem
from service.errors import MalformedRequest, WrongMediaType

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

PACKAGE, METADATA = "package", "metadata"

_KIND = b"multipart/form-data"


class UploadForm:
    """Takes the body of an upload piece by piece; blocking, for a thread.

    `file` receives the package; it is the caller's to make and to close.
    """

    def __init__(self, content_type: bytes, file: IO[bytes], metadata_bytes_max: int) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != _KIND or not boundary:
            raise WrongMediaType(
                "this route takes multipart/form-data, with the parts package and metadata"
            )
        self._file = file
        self._metadata_bytes_max = metadata_bytes_max
        self._metadata = bytearray()
        self._seen: set[str] = set()
        self._part = ""
        self._header = bytearray()
        self._value = bytearray()
        self._complete = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise MalformedRequest(f"the boundary of the form is no boundary: {error}") from error

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body; raise `MalformedRequest` or `OSError`."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise MalformedRequest(f"the form cannot be read: {error}") from error

    def finish(self) -> bytes:
        """Return the metadata; the package is in the file.

        Raises `MalformedRequest` for a form that was cut off, and `InvalidAdapter` for missing
        parts.
        """
        if not self._complete:
            raise MalformedRequest("the form is cut off: its last boundary is missing")
        problems = [
            Problem(name, f"is missing: send the part {name} of the form")
            for name in (PACKAGE, METADATA)
            if name not in self._seen
        ]
        if problems:
            raise InvalidAdapter(problems)
        self._file.flush()
        return bytes(self._metadata)

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._part = ""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._part = options.get(b"name", b"").decode("utf-8", "replace")
        self._header.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        if self._part not in (PACKAGE, METADATA):
            raise MalformedRequest(
                f"the form has a part {self._part[:80]!r}; it takes package and metadata"
            )
        if self._part in self._seen:
            raise MalformedRequest(f"the form has the part {self._part} twice")
        self._seen.add(self._part)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part == PACKAGE:
            self._file.write(data[start:end])
            return
        self._metadata += data[start:end]
        if len(self._metadata) > self._metadata_bytes_max:
            limit = f"has more than {self._metadata_bytes_max:,} bytes, which is the limit"
            raise InvalidAdapter([Problem(METADATA, limit)])

    def _on_end(self) -> None:
        self._complete = True
