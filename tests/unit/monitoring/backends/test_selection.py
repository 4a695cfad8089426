import json
from pathlib import Path
from typing import Any

import pytest

from monitoring.backends.selection import DETECTORS, read_selections, rows_needed, selected
from monitoring.errors import InvalidMonitorSettings

MMD = {"tenant": "acme", "adapter": "*", "detector": "MMDDrift"}


def written(folder: Path, content: Any) -> Path:
    file = folder / "backends.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def refusal(folder: Path, content: Any) -> list[str]:
    file = written(folder, content)
    with pytest.raises(InvalidMonitorSettings) as caught:
        read_selections(file)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(file)) for line in lines)
    return [line.removeprefix(f"{file}: ").removeprefix(f"{file} ") for line in lines]


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    [found] = read_selections(written(tmp_path, [MMD]))
    assert (found.tenant, found.adapter, found.detector, found.window) == (
        "acme",
        "*",
        "MMDDrift",
        500,
    )
    assert dict(found.parameters) == {
        "p_val": 0.05,
        "reference_rows": 1000,
        "n_permutations": 100,
    }


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_detector_can_be_selected(tmp_path: Path, detector: str) -> None:
    [found] = read_selections(written(tmp_path, [MMD | {"detector": detector}]))
    assert found.detector == detector
    assert found.parameters


def test_patterns_say_whose_adapters_are_meant(tmp_path: Path) -> None:
    found = read_selections(
        written(
            tmp_path,
            [
                MMD | {"window": 100},
                {"tenant": "*", "adapter": "fraud-?", "detector": "KSDrift", "window": 900},
            ],
        )
    )
    assert [one.detector for one in selected(found, "acme", "fraud-1")] == ["MMDDrift", "KSDrift"]
    assert [one.detector for one in selected(found, "globex", "fraud-2")] == ["KSDrift"]
    assert selected(found, "globex", "fraud-22") == ()
    assert rows_needed(found, "acme", "fraud-1") == 900
    assert rows_needed(found, "acme", "router") == 100
    assert rows_needed(found, "globex", "router") == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tenant": "Acme"}, "[0].tenant must be a name, or a pattern with * and ?"),
        ({"adapter": 3}, "[0].adapter must be a name, or a pattern with * and ?"),
        ({"adapter": ""}, "[0].adapter must be a name, or a pattern with * and ?"),
        ({"detector": "MMD"}, "[0].detector must be one of MMDDrift, LSDDDrift, KSDrift,"),
        ({"detector": []}, "[0].detector must be one of"),
        ({"window": 19}, "[0].window must be a whole number, 20 to 5000"),
        ({"window": True}, "[0].window must be a whole number"),
        ({"windows": 50}, "[0].windows is not known; there are adapter, detector, parameters,"),
        ({"parameters": []}, "[0].parameters must be an object"),
        ({"parameters": {"p_val": 0}}, "[0].parameters.p_val must be a number, 0.0001 to 0.5"),
        ({"parameters": {"p_val": "0.1"}}, "[0].parameters.p_val must be a number"),
        ({"parameters": {"n_permutations": 50.5}}, "must be a whole number, 20 to 2000"),
        ({"parameters": {"kernel": "os.system"}}, "[0].parameters.kernel is not one of MMDDrift's"),
        (
            {"detector": "KSDrift", "parameters": {"correction": "none"}},
            "[0].parameters.correction must be one of bonferroni, fdr",
        ),
        (
            {"detector": "MMDDriftOnline", "window": 40, "parameters": {"window_size": 41}},
            "[0].parameters.window_size must not be above the window",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    [line] = refusal(tmp_path, [MMD | changes])
    assert told in line


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    lines = refusal(tmp_path, [MMD | {"window": 1}, "MMDDrift", MMD, MMD | {"tenant": "-/"}])
    assert [line.partition("]")[0] for line in lines] == ["[0", "[1", "[3"]


@pytest.mark.parametrize("content", ["", "[", '{"tenant": "acme"}', "\x00"])
def test_what_is_no_list_in_json_is_refused(tmp_path: Path, content: str) -> None:
    [line] = refusal(tmp_path, content)
    assert "JSON" in line or "must hold a list" in line


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidMonitorSettings, match=r"none\.json cannot be read: No such file"):
        read_selections(tmp_path / "none.json")
