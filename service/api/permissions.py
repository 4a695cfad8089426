"""Who may do what: one line a route, and nothing that has no line is open to a tenant's key.

| need | who |
| --- | --- |
| `free` | everyone, without a key |
| `key` | every key; the route shows what the key may see |
| `member` | every key of the tenant in the path |
| `predict`, `publish`, `admin` | keys with the scope, of the tenant in the path if there is one |
| `operator` | admin keys |

The order is always the same: is there a key (401), is the tenant there for it (404, in the words
for one that does not exist), has it the scope (403); and only then is the body looked at. An admin
key may do everything; a key with the scope `admin`, everything that a key of its tenant can.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from service.api.callers import ANONYMOUS, Caller
from service.api.names import model_parts
from service.credentials.scopes import SCOPES
from service.errors import NotAuthenticated

Need = Literal["free", "key", "member", "predict", "publish", "admin", "operator"]

_TENANT = "/v1/tenants/{tenant}"
_ADAPTER = _TENANT + "/adapters/{adapter}"
_VERSION = _ADAPTER + "/versions/{version}"
_OIP = "/v2/models/{model}"
_OIP_VERSION = _OIP + "/versions/{version}"

NEEDS: dict[tuple[str, str], Need] = {
    ("GET", "/livez"): "free",
    ("HEAD", "/livez"): "free",
    ("GET", "/readyz"): "free",
    ("HEAD", "/readyz"): "free",
    ("GET", "/metrics"): "operator",
    ("GET", "/"): "operator",
    ("GET", "/docs"): "operator",
    ("GET", "/openapi.json"): "operator",
    # native
    ("POST", _ADAPTER + "/predict"): "predict",
    ("POST", _VERSION + "/predict"): "predict",
    ("POST", "/v1/feedback"): "predict",
    # tenants, their keys and their use
    ("GET", "/v1/tenants"): "key",
    ("GET", _TENANT): "member",
    ("PUT", _TENANT): "operator",
    ("DELETE", _TENANT): "operator",
    ("GET", _TENANT + "/keys"): "admin",
    ("POST", _TENANT + "/keys"): "admin",
    ("DELETE", _TENANT + "/keys/{key}"): "admin",
    ("GET", _TENANT + "/usage"): "admin",
    ("GET", "/v1/audit"): "admin",
    # adapters and what answers
    ("GET", _TENANT + "/adapters"): "publish",
    ("GET", _ADAPTER): "publish",
    ("DELETE", _ADAPTER): "publish",
    ("GET", _ADAPTER + "/versions"): "publish",
    ("POST", _ADAPTER + "/versions"): "publish",
    ("GET", _VERSION): "publish",
    ("DELETE", _VERSION): "publish",
    ("GET", _VERSION + "/report"): "publish",
    ("GET", _VERSION + "/card"): "publish",
    ("GET", _ADAPTER + "/rollout"): "publish",
    ("GET", _ADAPTER + "/rollout/comparison"): "publish",
    ("PUT", _ADAPTER + "/rollout"): "publish",
    ("POST", _ADAPTER + "/rollback"): "publish",
    # Open Inference Protocol
    ("GET", "/v2"): "free",
    ("GET", "/v2/health/live"): "free",
    ("GET", "/v2/health/ready"): "free",
    ("GET", _OIP): "predict",
    ("GET", _OIP_VERSION): "predict",
    ("GET", _OIP + "/ready"): "predict",
    ("GET", _OIP_VERSION + "/ready"): "predict",
    ("GET", _OIP + "/config"): "predict",
    ("GET", _OIP_VERSION + "/config"): "predict",
    ("GET", _OIP + "/stats"): "predict",
    ("GET", _OIP_VERSION + "/stats"): "predict",
    ("POST", _OIP + "/infer"): "predict",
    ("POST", _OIP_VERSION + "/infer"): "predict",
    ("GET", "/v2/models/stats"): "predict",
    ("POST", "/v2/repository/index"): "predict",
    ("POST", "/v2/repository/models/{model}/load"): "predict",  # which it refuses
    ("POST", "/v2/repository/models/{model}/unload"): "predict",
    # Text Embeddings Inference and Hugging Face
    ("POST", "/tei/{model}/predict"): "predict",
    ("POST", "/tei/{model}/embed"): "predict",
    ("GET", "/tei/{model}/info"): "predict",
    ("GET", "/tei/{model}/health"): "predict",
    ("POST", "/hf/{model}"): "predict",
    # vLLM; the model is in the body, and its tenant is checked where the model is looked up
    ("POST", "/classify"): "predict",
    ("GET", "/v1/models"): "key",
}

# What a tenant's key asks for beside predictions; they have a limit of their own (`desk`).
MANAGING: frozenset[Need] = frozenset({"key", "member", "publish", "admin"})

# Where a request without a key comes in: templates without parameters, so that they are paths.
FREE_PATHS = frozenset(path for (_, path), need in NEEDS.items() if need == "free")

assert not any("{" in path for path in FREE_PATHS), "what is free is found before its route is"
assert set(NEEDS.values()) == set(get_args(Need))


def need_of(method: str, path: str) -> Need:
    """Return what a route needs; a route that has no line is for the operator alone."""
    return NEEDS.get((method, path), "operator")


def authorise(caller: Caller, need: Need, path: Mapping[str, str]) -> None:
    """Raise `UnknownTenant` or `NotPermitted` where a caller may not do what it asks for.

    `path` has the parameters of the request's path. Raises `NotAuthenticated` for somebody
    without a key, should the edge let one in where nothing is free.
    """
    if need == "free":
        return
    if caller is ANONYMOUS:
        raise NotAuthenticated("this needs a key: send the header Authorization: Bearer <key>")
    tenant = tenant_of(path)
    if tenant is not None:
        caller.require_sight(tenant)
    if need == "operator":
        caller.require_operator()
    elif need != "key" and need != "member":
        caller.require_scope(need)


def tenant_of(path: Mapping[str, str]) -> str | None:
    """Return the tenant that a path names by itself or by a model; raise `UnknownAdapter`."""
    tenant = path.get("tenant")
    if tenant is None and "model" in path:
        tenant, _ = model_parts(path["model"])
    return tenant


def told(need: Need) -> str:
    """Say what a route needs, as the OpenAPI document shows it."""
    if need in SCOPES:
        return f"Needs a key with the scope `{need}`."
    return {
        "free": "Needs no key.",
        "key": "Needs a key; shows what it may see.",
        "member": "Needs a key of the tenant.",
        "operator": "Needs an admin key.",
    }[need]
