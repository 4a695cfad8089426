"""The kinds of panels that the dashboards are made of, all but tables.

Each takes a title, `about` (what it shows, and what to think or do when it is bad), queries and a
unit, and returns a builder without a place; `grid` gives it one.
"""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    bargauge,
    dashboard,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import common as common_builder
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from grafana.dashboards import palette
from grafana.dashboards.query import DATASOURCE, Query, now, over_time

Steps = tuple[tuple[float | None, str], ...]
Words = tuple[tuple[str, str, str], ...]  # value, word, colour
PLAIN: Steps = ((None, palette.PLAIN),)
NOTHING = "no data"


@dataclass(frozen=True, slots=True)
class Style:
    """How series whose name matches `pattern` (a regular expression) are drawn."""

    pattern: str
    color: str = ""
    dashed: bool = False
    right: bool = False  # on an axis of its own, on the right
    unit: str = ""
    down_to: str = ""  # the name of the series that a band reaches down to
    hidden: bool = False  # from the legend, and without a line: the edge of a band

    def properties(self) -> list[DynamicConfigValue]:
        """Return the overrides of the fields that match."""
        found = []
        if self.color:
            fixed = {"mode": FieldColorModeId.FIXED.value, "fixedColor": self.color}
            found.append(DynamicConfigValue("color", fixed))
        if self.dashed:
            dashes = {"fill": "dash", "dash": [8, 6]}
            found.append(DynamicConfigValue("custom.lineStyle", dashes))
            found.append(DynamicConfigValue("custom.fillOpacity", 0))
        if self.right:
            found.append(DynamicConfigValue("custom.axisPlacement", "right"))
        if self.unit:
            found.append(DynamicConfigValue("unit", self.unit))
        if self.down_to:
            found.append(DynamicConfigValue("custom.fillBelowTo", self.down_to))
            found.append(DynamicConfigValue("custom.fillOpacity", 20))
        if self.hidden:
            hidden = {"legend": True, "tooltip": False, "viz": False}
            found.append(DynamicConfigValue("custom.lineWidth", 0))
            found.append(DynamicConfigValue("custom.hideFrom", hidden))
        return found


OBJECTIVE = Style("/objective/", palette.OBJECTIVE, dashed=True)
BAND = (
    Style("/^upper/", palette.PLAIN, down_to="lower", hidden=True),
    Style("/^lower/", palette.PLAIN, hidden=True),
)


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Return steps of colours; the first has no value and holds below all others."""
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in steps])
    )


def mapping(words: Words) -> ValueMap:
    """Return words and colours for values."""
    return ValueMap(
        {
            value: ValueMappingResult(text=word, color=color, index=index)
            for index, (value, word, color) in enumerate(words)
        }
    )


def _color(mode: FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def number(
    title: str,
    about: str,
    query: Query,
    unit: str,
    *,
    steps: Steps = PLAIN,
    nothing: str = NOTHING,
    decimals: int | None = None,
    spark: bool = False,
    link: tuple[str, str] | None = None,
) -> stat.Panel:
    """Return one number, coloured by `steps`; `spark` draws its course behind it."""
    targets = over_time((query,)) if spark else now((query,))
    panel = (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .targets(list(targets))
        .unit(unit)
        .thresholds(thresholds(steps))
        .color_scheme(_color(FieldColorModeId.THRESHOLDS))
        .no_value(nothing)
        .reduce_options(common_builder.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(BigValueColorMode.BACKGROUND if len(steps) > 1 else BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA if spark else BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.AUTO)
    )
    if decimals is not None:
        panel.decimals(decimals)
    if link is not None:
        panel.links([dashboard.DashboardLink(link[0]).url(link[1])])
    return panel


def graph(
    title: str,
    about: str,
    queries: tuple[Query, ...],
    unit: str,
    *,
    styles: tuple[Style, ...] = (),
    steps: Steps | None = None,
    nothing: str = NOTHING,
    low: float | None = None,
    high: float | None = None,
    soft_high: float | None = None,
    stacked: bool = False,
    bars: bool = False,
    legend: tuple[str, ...] = (),
    interval: str = "",
) -> timeseries.Panel:
    """Return lines over time, or bars.

    `steps` are drawn as dashed lines; objectives that are series are queries of their own.
    `legend` names the figures (`lastNotNull`, `max`, `mean`) of a table below; empty: names only.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .targets(list(over_time(queries)))
        .unit(unit)
        .color_scheme(_color(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .no_value(nothing)
        .draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
        .line_width(1 if bars else 2)
        .fill_opacity(60 if bars or stacked else 0)
        .show_points(VisibilityMode.AUTO)
        .span_nulls(False)
        .tooltip(
            common_builder.VizTooltipOptions()
            .mode(TooltipDisplayMode.MULTI)
            .sort(SortOrder.DESCENDING)
        )
        .legend(_legend(legend))
        .thresholds(thresholds(steps or PLAIN))
    )
    if steps:
        lines = common_builder.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(lines)
    if stacked:
        panel.stacking(common_builder.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    for bound, setter in ((low, panel.min), (high, panel.max), (soft_high, panel.axis_soft_max)):
        if bound is not None:
            setter(bound)
    for style in styles:
        panel.override_by_regexp(style.pattern, style.properties())
    if interval:
        panel.interval(interval)
    return panel


def _legend(figures: tuple[str, ...]) -> common_builder.VizLegendOptions:
    mode = LegendDisplayMode.TABLE if figures else LegendDisplayMode.LIST
    return (
        common_builder.VizLegendOptions()
        .display_mode(mode)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(list(figures))
    )


def bar_list(
    title: str,
    about: str,
    query: Query,
    unit: str,
    *,
    steps: Steps = PLAIN,
    nothing: str = NOTHING,
    decimals: int | None = None,
    link: tuple[str, str] | None = None,
) -> bargauge.Panel:
    """Return a bar for each series, as it is at the end of the time range."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .targets(list(now((query,))))
        .unit(unit)
        .min(0)
        .thresholds(thresholds(steps))
        .color_scheme(_color(FieldColorModeId.THRESHOLDS))
        .no_value(nothing)
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .reduce_options(common_builder.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    if decimals is not None:
        panel.decimals(decimals)
    if link is not None:
        panel.data_links([dashboard.DashboardLink(link[0]).url(link[1])])
    return panel


def states(
    title: str,
    about: str,
    queries: tuple[Query, ...],
    unit: str,
    *,
    steps: Steps = PLAIN,
    words: Words = (),
    nothing: str = NOTHING,
) -> statetimeline.Panel:
    """Return a band for each series, coloured by what it was when."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .targets(list(over_time(queries)))
        .unit(unit)
        .thresholds(thresholds(steps))
        .color_scheme(_color(FieldColorModeId.THRESHOLDS))
        .no_value(nothing)
        .merge_values(True)
        .show_value(VisibilityMode.AUTO)
        .fill_opacity(80)
        .row_height(0.8)
        .legend(_legend(()))
    )
    if words:
        panel.mappings([mapping(words)])
    return panel
