"""`tenantry tune` on a real graph, and the service's choice after it."""

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from service.command import GROUP, run
from service.engine.bundle import Bundle
from service.engine.execution.provider import DeviceOptions
from service.engine.tuning.choice import Chooser
from service.engine.tuning.memory import MEMORY
from service.engine.tuning.search import Wanted
from service.engine.tuning.setup import Setup, read_setup
from service.engine.tuning.trial import Bench
from service.engine.tuning.workload import LENGTHS


def tenantry(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        run([str(each) for each in arguments], entry_points(group=GROUP))
    code = ended.value.code
    assert isinstance(code, int)
    return code


def chosen(bundle: Bundle, state: Path, **wanted: str | int) -> tuple[Setup, bool]:
    choice = Chooser(bundle, state / MEMORY, 8, Wanted(**wanted)).choose()  # type: ignore[arg-type]
    return choice.setup, choice.remembered


def test_what_tune_finds_is_what_the_service_opens(
    bundle_of: Callable[[str], Bundle], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of("bert")
    texts = tmp_path / "texts.jsonl"
    lines = [json.dumps({"text": f"a parcel and {n} letters " * (n % 5 + 1)}) for n in range(24)]
    texts.write_text("\n".join(lines) + "\n")
    state = tmp_path / "state"
    options = ["--bundle", bundle.path, "--state", state, "--data", texts, "--count", 24]
    options += ["--rounds", 1, "--slots", 8, "--json"]
    assert tenantry("tune", *options) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["workload"].startswith("24 texts of texts.jsonl")
    best = read_setup(document["best"])
    assert chosen(bundle, state) == (best, True)
    usable = {
        trial["setup"]["provider"] for trial in document["trials"] if trial["verdict"] == "usable"
    }
    assert "cpu" in usable
    for provider in usable:
        setup, remembered = chosen(bundle, state, provider=provider)
        assert (setup.provider, remembered) == (provider, True)
    assert best.open(bundle, 8, DeviceOptions()).grid == best.shaping.grid(bundle)
    assert ET.parse(state / "tuning.svg").getroot().tag.endswith("svg")


def test_a_part_of_the_providers_is_shown_as_a_table_and_does_not_decide_for_all(
    bundle_of: Callable[[str], Bundle], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of("bert")
    options = ["--bundle", bundle.path, "--state", tmp_path, "--count", len(LENGTHS)]
    options += ["--rounds", 1, "--slots", 8, "--provider", "cpu", "--threads", 1]
    assert tenantry("tune", *options) == 0
    said = capfd.readouterr().err
    assert "fp32 cpu" in said
    assert "fp32 on cpu, 1 threads" in said
    assert json.loads((tmp_path / MEMORY).read_bytes())["best"] is None
    asked = "--provider cpu --threads 1"
    told = " ".join(said.split())
    assert f"`tenantry serve {asked}` uses it from its next start on; a plain" in told
    setup, remembered = chosen(bundle, tmp_path, provider="cpu", threads=1)
    assert remembered
    assert f"{setup}: " in told
    assert chosen(bundle, tmp_path, provider="cpu")[1]


def test_a_provider_that_does_not_run_here_ends_it_with_the_reason(
    bundle_of: Callable[[str], Bundle], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = bundle_of("bert").path
    options = ["--bundle", path, "--state", tmp_path, "--count", 16, "--provider", "abacus"]
    assert tenantry("tune", *options) == 1
    assert "'abacus' is no provider; there are auto, cpu" in capfd.readouterr().err
    assert not (tmp_path / MEMORY).exists()


@pytest.mark.parametrize("below", ["", "state"])
def test_a_state_that_cannot_be_written_ends_it_before_anything_is_measured(
    bundle_of: Callable[[str], Bundle],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    below: str,
) -> None:
    def measure(*_: object) -> None:
        raise AssertionError("nothing is measured")

    monkeypatch.setattr(Bench, "measure", measure)
    file = tmp_path / "file"
    file.touch()
    options = ["--bundle", bundle_of("bert").path, "--state", file / below]
    assert tenantry("tune", *options, "--count", 16) == 1
    [said] = capfd.readouterr().err.splitlines()
    assert said.startswith(f"tenantry: --state {file / below} cannot be written: ")
    assert "give a folder that this user may write" in said


def test_findings_that_cannot_be_written_are_one_line(
    bundle_of: Callable[[str], Bundle], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / MEMORY).mkdir()
    options = ["--bundle", bundle_of("bert").path, "--state", tmp_path, "--count", len(LENGTHS)]
    options += ["--rounds", 1, "--slots", 8, "--provider", "cpu", "--threads", 1]
    assert tenantry("tune", *options) == 1
    said = capfd.readouterr().err.splitlines()[-1]
    assert said.startswith(f"tenantry: what was found cannot be written to {tmp_path}: ")
    assert said.endswith("make room there and run the same command again")
