"""What a batcher tells of traced jobs, kept."""

from service.batching.traces import TracedLoad, TracedPass


class FakePassTracing:
    """Keeps what it is told; called from the engine's thread."""

    def __init__(self) -> None:
        self.passes: list[TracedPass] = []
        self.loads: list[TracedLoad] = []

    def pass_ran(self, ran: TracedPass) -> str:
        self.passes.append(ran)
        return f"{len(self.passes):032x}"

    def adapter_loaded(self, load: TracedLoad) -> None:
        self.loads.append(load)
