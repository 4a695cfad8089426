"""Where a process stands between start and stop, and how much it has accepted."""


class Lifecycle:
    """Warm or not, draining or not, and the requests that are under way.

    Used from the event loop's thread alone; a signal handler, which runs there too, may set
    `draining`.
    """

    def __init__(self, *, warm: bool = False) -> None:
        self.warm = warm
        self.draining = False
        self.under_way = 0

    @property
    def ready(self) -> bool:
        """Say whether new requests are welcome."""
        return self.warm and not self.draining

    def enter(self) -> None:
        """Count a request that has come."""
        self.under_way += 1

    def leave(self) -> None:
        """Count a request that was answered, or has no one left to answer."""
        self.under_way -= 1
