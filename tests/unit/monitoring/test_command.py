import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from monitoring.command import monitor

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("numpy", "pyarrow", "sqlalchemy", "fastapi", "uvicorn", "torch", "alibi_detect")

ASKED = """
import json, sys
from service.command import main
sys.argv = ["tenantry", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
print("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(monitor, list(map(str, arguments)))


@pytest.mark.parametrize("words", [["monitor", "--help"], ["monitor", "report", "--help"]])
def test_help_is_given_without_importing_what_works(words: list[str]) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASKED, json.dumps(words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    *shown, modules = asked.stdout.splitlines()
    assert "--state" in "\n".join(shown)
    assert set(json.loads(modules)) & set(HEAVY) == set()


def test_a_bound_of_the_report_is_a_matter_of_use(tmp_path: Path) -> None:
    found = run("report", "--state", tmp_path, "--most", 0)
    assert found.exit_code == 2
    assert "--most" in found.stderr


def test_settings_that_cannot_be_used_are_told_with_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_MONITOR_BUCKET_S", "7")
    for words in ([], ["report"]):
        found = run("--state", tmp_path / "state", *words)
        assert found.exit_code == 1
        assert found.stderr == "tenantry monitor: bucket_s 7 does not divide an hour\n"
    assert not (tmp_path / "state").exists()


def test_a_report_of_a_directory_without_a_log_is_refused(tmp_path: Path) -> None:
    found = run("report", "--state", tmp_path, "--out", tmp_path / "report.html")
    assert found.exit_code == 1
    assert found.stderr.startswith("tenantry monitor: there is no event log in ")
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_an_empty_log_says_that_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    found = run("report", "--state", tmp_path, "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["adapters"] == []


def test_a_file_that_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    found = run("report", "--state", tmp_path, "--out", tmp_path / "none" / "report.html")
    assert found.exit_code == 1
    assert found.stderr.startswith("tenantry monitor: ")
    assert len(found.stderr.splitlines()) == 1
