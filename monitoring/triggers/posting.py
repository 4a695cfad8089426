"""Sending over HTTP: one POST, within one stated time, of which only the status counts."""

import asyncio
import ipaddress
import logging
import math
from collections.abc import Mapping

import httpx

from monitoring.errors import InvalidMonitorSettings
from monitoring.triggers.retries import Outcome

TIMEOUT_S = 10.0  # of an attempt as a whole; less than the first delay between two

_AGENT = "tenantry-monitor"


class HttpPoster:
    """Posts to one address, which was checked before.

    Proxies and certificate authorities are those of the environment, but no proxy for an address
    of this machine. What the answer says beside its status is not read.
    """

    def __init__(self, address: str, timeout_s: float = TIMEOUT_S) -> None:
        """Raise `InvalidMonitorSettings` for what nothing can be sent to, or with."""
        self._url = checked(address)
        self._timeout_s = timeout_s
        self._trusts = not _is_loopback(self._url)
        try:
            self._tls = httpx.create_ssl_context(trust_env=self._trusts)
            self._client()
        except (OSError, ValueError) as error:
            raise InvalidMonitorSettings(
                "the webhook cannot be called: the environment's certificates (SSL_CERT_FILE,"
                f" SSL_CERT_DIR) or proxies (HTTPS_PROXY) are at fault: {type(error).__name__}"
            ) from error
        # httpx logs whole addresses of requests at `info`, and those may hold credentials.
        logging.getLogger("httpx").setLevel(logging.WARNING)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Return what came of it, in `timeout_s` whatever the receiver does."""
        try:
            return asyncio.run(self._post(body, headers))
        except TimeoutError:
            return Outcome(None, f"no answer within {self._timeout_s:g} s")
        except httpx.HTTPError as error:  # its text may repeat the address; its kind does not
            return Outcome(None, f"not reached: {type(error).__name__}")

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        sent = {"user-agent": _AGENT, **headers}
        # httpx's own limits are per read and write: a receiver that trickles never meets them.
        async with (
            asyncio.timeout(self._timeout_s),
            self._client() as client,
            client.stream("POST", self._url, content=body, headers=sent) as response,
        ):
            return Outcome(response.status_code, None, _seconds(response.headers))

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            follow_redirects=False,
            timeout=2 * self._timeout_s,
            trust_env=self._trusts,
            verify=self._tls,
        )


def checked(address: str) -> httpx.URL:
    """Return the address of a receiver; raise `InvalidMonitorSettings`, which does not repeat it.

    The password that an address may hold is sent as basic authentication, and never shown.
    """
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise InvalidMonitorSettings("the address of the webhook is no URL") from error
    if url.scheme not in {"http", "https"}:
        raise InvalidMonitorSettings(
            "the address of the webhook must begin with http:// or https://"
        )
    if not url.host:
        raise InvalidMonitorSettings("the address of the webhook names no host")
    if url.fragment:
        raise InvalidMonitorSettings(
            "the address of the webhook has a fragment, which is never sent"
        )
    return url


def _is_loopback(url: httpx.URL) -> bool:
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


def _seconds(headers: httpx.Headers) -> float | None:
    """Return what `Retry-After` asks for, where it does so in seconds."""
    try:
        asked = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return asked if math.isfinite(asked) else None
