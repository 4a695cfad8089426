"""A whole dashboard, and the JSON that Grafana reads."""

import json
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardCursorSync

from grafana.dashboards.grid import Section, laid
from grafana.dashboards.links import TITLES, all_but


@dataclass(frozen=True, slots=True)
class Board:
    """What one dashboard is."""

    uid: str
    about: str
    since: str  # "now-6h": where the time range begins when it is opened
    refresh: str
    variables: tuple[
        builder.QueryVariable | builder.DatasourceVariable | builder.TextBoxVariable, ...
    ]
    annotations: tuple[builder.AnnotationQuery, ...]
    sections: tuple[Section, ...]

    def build(self) -> Dashboard:
        """Return it in the model of Grafana's JSON."""
        built = (
            builder.Dashboard(f"Tenantry: {TITLES[self.uid]}")
            .uid(self.uid)
            .description(self.about)
            .tags(["tenantry"])
            .timezone("browser")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time(self.since, "now")
            .refresh(self.refresh)
            .readonly()
            .variables(list(self.variables))
            .annotations(list(self.annotations))
            .links(list(all_but(self.uid)))
            .build()
        )
        built.panels = list(laid(self.sections))
        return built


def text_of(board: Board) -> str:
    """Return the JSON of a dashboard, the same for the same dashboard."""
    document = json.loads(json.dumps(board.build(), cls=JSONEncoder))
    for link in document["links"]:
        # The SDK always says "in a menu"; without it the links are seen, above the panels.
        del link["placement"]
    for annotation in document["annotations"]["list"]:
        del annotation["placement"]
    for panel in document["panels"]:
        for place in (panel, panel.get("fieldConfig", {}).get("defaults", {})):
            if "links" in place:
                # The SDK has one class for links of dashboards and of panels; these have less.
                place["links"] = [
                    {key: link[key] for key in ("title", "url", "targetBlank")}
                    for link in place["links"]
                ]
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
