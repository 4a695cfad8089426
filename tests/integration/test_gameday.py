"""The game day: incidents on real processes, and whether the right people hear of them.

Two of them are played each time; all of them in `make test-all`.
"""

from pathlib import Path

import pytest

from examples.gameday.command import main
from examples.gameday.incident import Incident
from examples.gameday.incidents import EVERY
from examples.gameday.play import play, shown
from examples.gameday.town import Town
from tests.fixtures_bundles import BundleCache
from tests.needs import needs_program
from tests.oncall.towns import town_of

SHORT = ("drift", "sidecar dead")
CALM_S = 6.0


@pytest.fixture(scope="module")
def town(bundle_cache: BundleCache) -> Town:
    for program in ("prometheus", "promtool", "prometheus-alertmanager"):
        needs_program(program)
    return town_of(bundle_cache)


@pytest.mark.parametrize(
    "incident",
    [
        pytest.param(
            incident,
            id=incident.name,
            marks=() if incident.name in SHORT else pytest.mark.long,
        )
        for incident in EVERY
    ],
)
def test_the_right_people_hear_of_an_incident(
    town: Town, tmp_path: Path, incident: Incident
) -> None:
    said: list[str] = []
    outcome = play(town, tmp_path / "run", incident, said.append, CALM_S)
    told = "\n".join(map(shown, outcome.fired))
    assert outcome.missing == [], told
    assert outcome.loud == [], told
    assert outcome.not_inhibited == [], told
    assert incident.story in said
    expected = {one.alert for one in incident.expected}
    heard = {fired.labels["alertname"] for fired in outcome.fired if fired.told}
    assert expected - heard - set(outcome.inhibited) == set(), "nobody was told"


def test_an_incident_that_nobody_knows_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "drift,flood"]) == 1
    assert "no incident flood; there are flooding-tenant" in capsys.readouterr().out


def test_the_incidents_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(EVERY)
    assert "sidecar-dead: kill -9 of the sidecar" in lines
    assert "service-dead: kill -9 of the service (only by name)" in lines
