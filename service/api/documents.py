"""Request documents of the operator's routes: strict JSON, checked by the model that shows them."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from service.api.bodies import Bodies
from service.api.call import call_of
from service.api.requests import require_json
from service.engine.strict_json import UnreadableJson, parse_object
from service.errors import MalformedRequest, UnacceptableRequest

# The largest names a few versions or scopes. It is parsed on the event loop, in Python, so that
# one of 8 MiB would hold everybody up for seconds.
DOCUMENT_BYTES_MAX = 64 << 10

_FLAWS_MAX = 20
_PLACE_MAX = 200  # characters of the name of a field

_Model = TypeVar("_Model", bound=BaseModel)


class Documents:
    """Reads the documents that operators send."""

    def __init__(self, bodies: Bodies, max_body_bytes: int) -> None:
        self._bodies = bodies
        self._bytes_max = min(max_body_bytes, DOCUMENT_BYTES_MAX)

    async def read(self, request: Request, model: type[_Model]) -> _Model:
        """Return the body's document, checked by a model.

        Raises `MalformedRequest` for what is no JSON object, and `UnacceptableRequest` for one of
        another form, naming every place.
        """
        try:
            return model.model_validate(await self.read_object(request))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            lines = [
                f"{'.'.join(map(str, item['loc']))[:_PLACE_MAX] or 'the body'}: {item['msg']}"
                for item in found[:_FLAWS_MAX]
            ]
            if len(found) > _FLAWS_MAX:
                lines.append(f"and {len(found) - _FLAWS_MAX} more")
            raise UnacceptableRequest("; ".join(lines)) from error

    async def read_object(
        self, request: Request, *, may_be_absent: bool = False
    ) -> dict[str, object]:
        """Return the body's JSON object; raise `MalformedRequest` for anything else."""
        call = call_of(request.scope)
        require_json(call)
        body = await self._bodies.read(call, request.receive, self._bytes_max)
        if may_be_absent and not body:
            return {}
        try:
            return parse_object(body, bytes_max=self._bytes_max)
        except UnreadableJson as error:
            raise MalformedRequest(f"the body cannot be read: {error}") from error
