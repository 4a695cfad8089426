"""What several histograms share: the bounds of seconds, and exemplars."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def exemplar(trace_id: str | None) -> dict[str, str] | None:
    """Return the exemplar of an observation; None where no trace of it is recorded."""
    return None if trace_id is None else {"trace_id": trace_id}
