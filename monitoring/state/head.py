"""What is kept of one version in one role beside its sketches: totals, and what else there is."""

from dataclasses import dataclass, field

from monitoring.state.kinds import Kind

OTHER = "_other"  # where groups beyond the limit are counted


@dataclass(slots=True)
class Head:
    """Totals, groups, and the starts of the objects that there are."""

    digest: str = ""
    backbone: str = ""
    classes: int = 0  # 0: no prediction was seen yet
    hidden: int = 0  # 0: no embedding was seen yet
    names: list[str | None] = field(default_factory=list)  # of classes
    predictions: int = 0
    embedded: int = 0
    labels: int = 0  # that came
    labelled: int = 0  # predictions that have one, or had
    shadowed: int = 0  # of a shadow: predictions that were kept for labels
    too_late: int = 0  # predictions that no bucket covered any more
    malformed: int = 0  # predictions that did not fit those before them
    first_us: int = 0  # time of the first prediction; 0: there was none
    last_us: int = 0  # and of the newest one
    sample: float = 1.0  # share of the predictions that is logged, as it was last
    groups: dict[str, int] = field(default_factory=dict)  # predictions
    bucket_us: int = 0  # length of the finest buckets
    fine: dict[int, int] = field(default_factory=dict)  # predictions by start
    hours: dict[int, int] = field(default_factory=dict)
    days: dict[int, int] = field(default_factory=dict)
    samples: dict[int, int] = field(default_factory=dict)  # rows offered, by start of the hour
    history: list[int] = field(default_factory=list)  # starts of days
    open: list[int] = field(default_factory=list)  # ends of buckets that have yet to close
    closed_us: int = 0  # end of the bucket that closed last
    reference: int = 0  # id of the reference that the watch goes by; 0: none
    judge: str = ""  # settings under which that reference was made
    watched: int = 0  # rows that the watch has seen since it began
    spent_us: int | None = None  # up to which time the watch has spent its budget
    run_length: float = 0.0  # rows in which the watch may raise one false alarm, as people see it

    def buckets(self, kind: Kind) -> dict[int, int]:
        """Return predictions by start, of one kind of bucket."""
        return {Kind.FINE: self.fine, Kind.HOUR: self.hours, Kind.DAY: self.days}[kind]

    def admit(self, group: str, groups_max: int) -> str:
        """Return the name under which a group is counted: its own, or `_other` at the limit."""
        if group in self.groups or group == OTHER:
            return group
        named = len(self.groups) - (OTHER in self.groups)
        return group if named < groups_max else OTHER
