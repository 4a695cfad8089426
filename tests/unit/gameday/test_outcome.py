"""What counts as expected of an incident."""

from examples.gameday.incident import Expected, Incident
from examples.gameday.incidents import incidents_of
from examples.gameday.play import Fired, Outcome
from examples.gameday.report import document_of, page_of, rows_of

INCIDENT = Incident(
    name="drift",
    story="somebody else's mail",
    strike=lambda _: None,
    expected=(Expected("TenantryDrift", {"tenant": "acme"}),),
    may=(Expected("TenantryRetrainRequested", {"tenant": "acme"}),),
)


def fired(alert: str, tenant: str = "acme", after_s: float = 19.0) -> Fired:
    return Fired({"alertname": alert, "tenant": tenant}, after_s, told=True)


def test_an_incident_goes_as_expected_when_what_must_fire_does_and_nothing_strange() -> None:
    outcome = Outcome(INCIDENT, (fired("TenantryDrift"), fired("TenantryRetrainRequested")))
    assert outcome.as_expected
    assert rows_of([outcome]) == [
        (
            "drift",
            "TenantryDrift",
            "19 s",
            "19 min",
            "TenantryRetrainRequested",
            "",
            "silent",
            "as expected",
        )
    ]


def test_an_alert_about_somebody_else_is_too_loud() -> None:
    outcome = Outcome(INCIDENT, (fired("TenantryDrift"), fired("TenantryDrift", "globex")))
    assert not outcome.as_expected
    assert outcome.loud == ["TenantryDrift (globex)"]


def test_silence_is_not_expected_either() -> None:
    outcome = Outcome(INCIDENT, (fired("TenantryDrift", "globex"),))
    assert outcome.missing == ["TenantryDrift"]
    [row] = rows_of([outcome])
    assert row[2] == "never"
    assert row[-1] == "NOT as expected"


def test_what_fired_before_anything_broke_is_too_loud() -> None:
    assert Outcome(INCIDENT, (fired("TenantryDrift"),), early=("TenantryLogLag",)).loud == [
        "TenantryLogLag"
    ]


def test_the_watchdog_may_always_fire() -> None:
    assert not INCIDENT.is_silent_on({"alertname": "TenantryWatchdog"})


def test_what_could_not_be_played_is_not_as_expected() -> None:
    outcome = Outcome(INCIDENT, problem="no name space of one's own here")
    assert not outcome.as_expected
    assert rows_of([outcome])[0][-1] == "no name space of one's own here"
    assert document_of([outcome])["incidents"][0]["problem"]


def test_the_page_holds_the_table() -> None:
    page = page_of([Outcome(INCIDENT, (fired("TenantryDrift"),))], "a machine", "abc")
    assert "1 of 1 incidents as expected" in page
    assert "| drift | TenantryDrift | 19 s | 19 min |" in page


def test_incidents_have_names_of_their_own() -> None:
    names = [incident.name for incident in incidents_of()]
    assert len(set(names)) == len(names) >= 10
    assert [one.name for one in incidents_of(["sidecar-dead", "drift"])] == [
        "sidecar dead",
        "drift",
    ]
