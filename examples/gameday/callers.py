"""Callers of every tenant: they ask all day, and some bring labels back."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from examples.gameday.adapters import LABELS
from examples.gameday.town import Judged, Tenant

TEXTS_AT_ONCE = 4
_TIMEOUT_S = 20.0


Words = Literal["ordinary", "foreign", "glued", "mangled", "empty"]


@dataclass(slots=True)
class Habits:
    """How the callers of a tenant behave now; may be changed while they do."""

    requests_per_s: float = 4.0
    labelled: float = 0.5  # share of the answers whose label comes back
    words: Words = "ordinary"
    texts_at_once: int = TEXTS_AT_ONCE
    turned: bool = False  # whether labels are given by new rules: the next one each time


@dataclass(slots=True)
class Callers:
    """Those of one tenant."""

    tenant: Tenant
    url: str
    habits: Habits = field(default_factory=Habits)
    statuses: Counter[int] = field(default_factory=Counter)  # 0: no answer at all
    _ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until told to end."""
        draw = random.Random(self.tenant.seed)
        due = time.monotonic() + draw.random() / self.habits.requests_per_s
        with httpx.Client(base_url=self.url, trust_env=False, timeout=_TIMEOUT_S) as client:
            while not self._ending.wait(max(0.0, due - time.monotonic())):
                due = max(due, time.monotonic() - 1.0) + 1.0 / self.habits.requests_per_s
                self._call(client, draw)

    def end(self) -> None:
        """Let them go home."""
        self._ending.set()

    def _call(self, client: httpx.Client, draw: random.Random) -> None:
        pool = self.tenant.foreign if self.habits.words == "foreign" else self.tenant.asked
        asked = draw.sample(pool, self.habits.texts_at_once)
        texts = [_sent(judged.text, self.habits.words) for judged in asked]
        body = {"inputs": texts, "routing_key": str(draw.random())}
        try:
            answer = client.post(f"{self.tenant.adapter}/predict", json=body)
            self.statuses[answer.status_code] += 1
            if answer.is_success:
                labels = self._labels(asked, answer.json()["predictions"], draw)
                if labels:
                    client.post("/v1/feedback", json={"labels": labels})
        except httpx.TransportError:
            self.statuses[0] += 1

    def _labels(
        self,
        asked: Sequence[Judged],
        predictions: Sequence[Mapping[str, Any]],
        draw: random.Random,
    ) -> list[dict[str, str]]:
        turn = 1 if self.habits.turned else 0
        return [
            {
                "id": prediction["id"],
                "label": LABELS[(LABELS.index(judged.label) + turn) % len(LABELS)],
            }
            for judged, prediction in zip(asked, predictions, strict=True)
            if draw.random() < self.habits.labelled
        ]


def _sent(text: str, words: Words) -> str:
    """Return a text as it comes out of what prepares it."""
    if words == "glued":
        return text.replace(" ", "")
    if words == "mangled":
        return text.replace("e", "\N{REPLACEMENT CHARACTER}")
    return "" if words == "empty" else text


@contextmanager
def calling(url: str, tenants: Sequence[Tenant]) -> Iterator[dict[str, Callers]]:
    """Let all tenants' callers ask around the block."""
    found = {tenant.name: Callers(tenant, url) for tenant in tenants}
    threads = [threading.Thread(target=callers.run, daemon=True) for callers in found.values()]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        for callers in found.values():
            callers.end()
        for thread in threads:
            thread.join(_TIMEOUT_S * 2)
