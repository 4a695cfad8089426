"""What an export says of TensorRT."""

from exporter.tensorrt.finding import Finding
from exporter.tensorrt.report import tensorrt_document, tensorrt_lines

BLOCKS = [Finding("fp32", f"node {n}", "no such operator") for n in range(7)]
TOLD = Finding("fp32", "node x", "DOUBLE", blocks=False)


def test_what_does_not_block_is_no_warning() -> None:
    [line] = tensorrt_lines([TOLD])
    assert line.startswith("TensorRT 10.15: nothing in its published tables keeps an")


def test_what_blocks_is_named_and_a_long_list_is_cut() -> None:
    lines = tensorrt_lines([TOLD, *BLOCKS])
    assert lines[0] == "TensorRT 10.15 could not build this as one engine:"
    assert lines[1] == "  fp32: node 0: no such operator"
    assert lines[-1] == "  and 2 more"
    assert len(lines) == 7


def test_programs_get_every_finding() -> None:
    document = tensorrt_document([TOLD, BLOCKS[0]])
    assert document["blocks"] is True
    assert document["findings"] == [
        {"variant": "fp32", "where": "node x", "what": "DOUBLE", "blocks": False},
        {"variant": "fp32", "where": "node 0", "what": "no such operator", "blocks": True},
    ]
    assert tensorrt_document([TOLD])["blocks"] is False
