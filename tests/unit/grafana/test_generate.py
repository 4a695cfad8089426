from pathlib import Path

import pytest

from grafana import generate
from grafana.slo import InvalidSlo, Slo, read


def test_writing_twice_gives_the_same_files(tmp_path: Path) -> None:
    slo = read()
    names = generate.write(slo, tmp_path)
    first = {name: (tmp_path / name).read_bytes() for name in names}
    generate.write(slo, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names} == first
    assert generate.stale(slo, tmp_path) == []


def test_a_file_that_differs_is_told_with_a_diff(tmp_path: Path) -> None:
    slo = read()
    generate.write(slo, tmp_path)
    name = "generated/rules/alerts.yaml"
    path = tmp_path / name
    path.write_text(path.read_text(encoding="utf-8").replace("> 14.4", "> 99"), encoding="utf-8")
    lines = generate.stale(slo, tmp_path)
    assert f"--- {name} (there)" in lines
    assert any(line.startswith("-") and line.endswith("> 99") for line in lines)
    assert any(line.startswith("+") and line.endswith("> 14.4") for line in lines)


def test_a_file_that_is_missing_is_stale(tmp_path: Path) -> None:
    slo = read()
    generate.write(slo, tmp_path)
    (tmp_path / "alertmanager/alertmanager.yml").unlink()
    assert "--- alertmanager/alertmanager.yml (there)" in generate.stale(slo, tmp_path)


def test_a_check_ends_with_1_where_files_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "PRODUCERS", [("nowhere.yaml", lambda _: "a: 1\n")])
    assert generate.main(["--check"]) == 1
    assert "+a: 1" in capsys.readouterr().out
    assert not (generate.ROOM / "nowhere.yaml").exists()


def test_a_mistake_in_the_file_ends_with_1_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mistaken() -> Slo:
        raise InvalidSlo("slo.yaml: period: wrong")

    monkeypatch.setattr(generate, "read", mistaken)
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == "slo.yaml: period: wrong\n"


def test_rules_and_routes_say_what_they_are_made_from(tmp_path: Path) -> None:
    for name in generate.write(read(), tmp_path):
        if name.endswith((".yaml", ".yml")):
            text = (tmp_path / name).read_text(encoding="utf-8")
            assert text.startswith("# Made from slo.yaml by `python -m grafana.generate`")
