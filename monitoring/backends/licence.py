"""Whether alibi-detect is there, and under which terms it may be used."""

from importlib.metadata import PackageNotFoundError, version

from monitoring.errors import InvalidMonitorSettings

TERMS = (
    "alibi-detect is under the Business Source License 1.1: without a licence from Seldon it may"
    " be used for non-production purposes only"
)


def require() -> str:
    """Return what a sidecar that uses alibi-detect must say at start.

    Raises `InvalidMonitorSettings`, with the command that brings it, where it is not installed.
    """
    try:
        found = version("alibi-detect")
    except PackageNotFoundError as error:
        raise InvalidMonitorSettings(
            "detectors of alibi-detect are selected, and it is not installed:"
            f" pip install 'tenantry[alibi]'. {TERMS}"
        ) from error
    return f"detectors of alibi-detect {found} are selected. {TERMS}"
