"""What the sidecar raises on purpose. No HTTP in it: `monitoring/web` maps it to statuses.

MonitorError
├── InvalidMonitorSettings   settings that cannot be used; every fault is named
├── StateInUse               another sidecar works on this state
├── ForeignState             the state was written by a later version, or is not one
├── Incompatible             sketches of different shape or feature map do not add up
└── UnknownWatched           there is no such tenant or adapter in the log
"""


class MonitorError(Exception):
    """Anything that the sidecar raises on purpose; the message is for people."""


class InvalidMonitorSettings(MonitorError):
    """Settings that cannot be used."""


class StateInUse(MonitorError):
    """Another sidecar works on this state."""


class ForeignState(MonitorError):
    """The state was written by a later version of this software, or is not one."""


class Incompatible(MonitorError):
    """Sketches of different shape or feature map, which do not add up."""


class UnknownWatched(MonitorError):
    """There is no such tenant or adapter in the log."""
