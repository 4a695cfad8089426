"""The dashboards as files: a path in this room, and what makes its text."""

from collections.abc import Callable

from grafana.dashboards.board import Board, text_of
from grafana.dashboards.debug import debug
from grafana.dashboards.fleet import fleet
from grafana.dashboards.on_call import on_call
from grafana.dashboards.tenant import tenant
from grafana.slo import Slo


def _producer(board: Callable[[Slo], Board]) -> Callable[[Slo], str]:
    return lambda slo: text_of(board(slo))


PRODUCERS: list[tuple[str, Callable[[Slo], str]]] = [
    ("generated/dashboards/fleet.json", _producer(fleet)),
    ("generated/dashboards/on-call.json", _producer(on_call)),
    ("generated/dashboards/tenant.json", _producer(tenant)),
    ("generated/dashboards/debug.json", _producer(lambda _: debug())),
]
