"""The static check's findings, for people and for programs."""

from collections.abc import Sequence

from exporter.tensorrt.finding import Finding
from exporter.tensorrt.support import VERSION

_SHOWN = 5


def tensorrt_lines(findings: Sequence[Finding]) -> list[str]:
    """Return what to tell a person after an export: nothing that blocks, or what does."""
    blocking = [finding for finding in findings if finding.blocks]
    if not blocking:
        return [
            f"TensorRT {VERSION}: nothing in its published tables keeps an engine from building"
        ]
    lines = [f"TensorRT {VERSION} could not build this as one engine:"]
    lines += [f"  {finding}" for finding in blocking[:_SHOWN]]
    if len(blocking) > _SHOWN:
        lines.append(f"  and {len(blocking) - _SHOWN} more")
    return lines


def tensorrt_document(findings: Sequence[Finding]) -> dict[str, object]:
    """Return the findings as JSON has them."""
    return {
        "version": VERSION,
        "blocks": any(finding.blocks for finding in findings),
        "findings": [
            {
                "variant": finding.variant,
                "where": finding.where,
                "what": finding.what,
                "blocks": finding.blocks,
            }
            for finding in findings
        ],
    }
