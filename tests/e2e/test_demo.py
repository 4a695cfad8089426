"""`tenantry demo`, as `make demo` runs it: from nothing to checked answers, on until Ctrl-C."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.needs import needs_program

ROOT = Path(__file__).resolve().parents[2]
TENANTRY = Path(sys.executable).with_name("tenantry")
# It takes three to four minutes on two idle cores; this is for one that does other things too.
DEMO_S_MAX = 1200
STOP_S_MAX = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's work folder, which the tests of this file share as runs of one person would."""
    return tmp_path_factory.mktemp("demo") / "work"


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the demo around the block; however that ends, the demo stops its service and ends."""
    process = subprocess.Popen(
        [TENANTRY, "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=STOP_S_MAX)


def test_the_demo_checks_itself_from_export_to_restart(folder: Path) -> None:
    with running("--check", "--images", "--dir", str(folder)) as demo:
        said, _ = demo.communicate(timeout=DEMO_S_MAX)
    assert demo.returncode == 0, said
    assert re.search(r"^all \d+ checks passed in \d+ s$", said, re.MULTILINE), said
    assert "FAILED" not in said
    for tenant in ("skylark-air", "fernhill", "ludo-forum", "block-works"):
        assert re.search(rf"^  ok +{tenant}: accuracy at least 0\.\d\d", said, re.MULTILINE), said
    for promise in (
        "the export proved itself against transformers and peft",
        "of the labels are peft's",
        "every answer names its own tenant, version and digest",
        "batches hold several tenants' texts",
        "an unknown adapter is a 404, never the bare backbone",
        "is rejected by the gate",
        "SIGTERM stops the service cleanly",
        "after a restart the same versions answer",
        "in float32: every probability within 1e-04 of peft's",
        "the image export proved itself against transformers and peft",
        "block-works: every probability within 1e-04 of peft's",
        "block-works at night: a drift alarm",
        "the sidecar shows that the pictures are dark, and how many were none",
    ):
        assert re.search(rf"^  ok .*{re.escape(promise)}", said, re.MULTILINE), promise
    assert "Warning" not in said
    assert "\x1b" not in said  # no terminal, so nothing that only a terminal understands


def test_the_demo_serves_on_until_ctrl_c_and_its_curl_line_works(folder: Path) -> None:
    needs_program("curl")
    with running("--dir", str(folder)) as demo:
        assert demo.stdout is not None
        said = []
        for line in demo.stdout:
            said.append(line)
            if line.startswith("open http"):
                break
        [curl] = [line for line in said if line.startswith("curl ")]
        answer = subprocess.run(
            ["sh", "-c", curl], capture_output=True, text=True, check=True, timeout=STOP_S_MAX
        )
        [prediction] = json.loads(answer.stdout)["predictions"]
        assert prediction["label"] == "baggage"
        assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=STOP_S_MAX)
    assert demo.returncode == 0, rest
    assert "stopping" in rest
    assert_nobody_answers(curl)


def assert_nobody_answers(curl: str) -> None:
    refused = 7
    for _ in range(20):
        if (
            subprocess.run(["sh", "-c", curl], capture_output=True, check=False).returncode
            == refused
        ):
            return
        time.sleep(0.1)
    pytest.fail("the service still answers")


def test_the_demo_leaves_a_folder_alone_that_is_not_its_own(tmp_path: Path) -> None:
    precious = tmp_path / "state"
    precious.write_text("mine", encoding="ascii")
    with running("--check", "--dir", str(tmp_path)) as demo:
        said, _ = demo.communicate(timeout=STOP_S_MAX)
    assert demo.returncode == 1
    assert f"{tmp_path} holds other things" in said.replace("\n", " ")
    assert precious.read_text(encoding="ascii") == "mine"


@pytest.mark.parametrize(
    ("asked", "run"),
    [
        (["demo"], "tenantry demo"),
        (["demo", "CHECK=1"], "tenantry demo --check"),
        (["demo", "CHECK=1", "IMAGES=1"], "tenantry demo --check --images"),
        (["demo", "IMAGES=1"], "tenantry demo --images"),
    ],
)
def test_make_demo_runs_the_command_of_this_file(asked: list[str], run: str) -> None:
    needs_program("make")
    shown = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.rstrip().endswith(run)
