"""Where panels are: rows of panels, from left to right, 24 columns wide."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import Row as RowBuilder
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import GridPos, Panel, RowPanel

WIDTH = 24


@dataclass(frozen=True, slots=True)
class Place:
    """A panel and its size in columns and in lines of 30 pixels."""

    panel: Builder[Panel]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Section:
    """Lines of panels under a title; panels of one line have the same height."""

    title: str
    lines: tuple[tuple[Place, ...], ...]


def line(height: int, *panels: Builder[Panel], widths: tuple[int, ...] = ()) -> tuple[Place, ...]:
    """Return panels beside each other, of equal width where no widths are given."""
    each = widths or (WIDTH // len(panels),) * len(panels)
    return tuple(Place(panel, width, height) for panel, width in zip(panels, each, strict=True))


def laid(sections: Iterable[Section]) -> Iterator[Panel | RowPanel]:
    """Yield rows and panels with places and numbers, top to bottom."""
    number, top = 1, 0
    for section in sections:
        row = RowBuilder(section.title).id(number).build()
        row.grid_pos = GridPos(x=0, y=top, w=WIDTH, h=1)
        yield row
        number, top = number + 1, top + 1
        for places in section.lines:
            left = 0
            for place in places:
                panel = place.panel.build()
                panel.id_val = number
                panel.grid_pos = GridPos(x=left, y=top, w=place.width, h=place.height)
                yield panel
                number, left = number + 1, left + place.width
            top += max(place.height for place in places)
