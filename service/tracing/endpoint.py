"""The collector's address: checked where it is read, without any library of tracing."""

from urllib.parse import urlsplit

PATH = "/v1/traces"


def check_endpoint(endpoint: str) -> str:
    """Return a collector's base URL; raise `ValueError` where it is none."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or not endpoint.isprintable():
        raise ValueError("must be the URL of a collector, such as http://127.0.0.1:4318")
    _ = parts.port  # raises for one that is none
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must hold no user, key, query or fragment; a file holds the headers")
    if parts.path.rstrip("/").endswith(PATH):
        raise ValueError(f"must be the collector's base URL: {PATH} is added to it")
    return endpoint.rstrip("/")
