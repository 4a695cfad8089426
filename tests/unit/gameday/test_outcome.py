"""What counts as expected of an incident."""

from examples.gameday.incident import Expected, Incident
from examples.gameday.incidents import EVERY, incidents_of
from examples.gameday.play import Fired, Outcome
from examples.gameday.report import Entry, Played, entry_of, joined, page_of, rows_of

INCIDENT = Incident(
    name="drift",
    story="somebody else's mail",
    strike=lambda _: None,
    expected=(Expected("TenantryDrift", {"tenant": "acme"}),),
    may=(Expected("TenantryRetrainRequested", {"tenant": "acme"}),),
)


PLAYED = Played("2026-11-22", "abc", "a machine")


def entry(outcome: Outcome, played: Played = PLAYED) -> Entry:
    return entry_of(outcome, played)


def fired(alert: str, tenant: str = "acme", after_s: float = 19.0) -> Fired:
    return Fired({"alertname": alert, "tenant": tenant}, after_s, told=True)


def test_an_incident_goes_as_expected_when_what_must_fire_does_and_nothing_strange() -> None:
    outcome = Outcome(INCIDENT, (fired("TenantryDrift"), fired("TenantryRetrainRequested")))
    assert outcome.as_expected
    assert rows_of([entry(outcome)]) == [
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
    [row] = rows_of([entry(outcome)])
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
    assert rows_of([entry(outcome)])[0][-1] == "no name space of one's own here"
    assert entry(outcome)["problem"]


def test_the_page_holds_the_table() -> None:
    page = page_of([entry(Outcome(INCIDENT, (fired("TenantryDrift"),)))])
    assert "1 of 1 incidents as expected" in page
    assert "| drift | TenantryDrift | 19 s | 19 min |" in page
    assert "- 2026-11-22, at abc, on a machine: drift\n" in page


def test_an_incident_that_nobody_must_hear_of_has_a_row_too() -> None:
    quiet = Incident(name="labels stop", story="", strike=lambda _: None, expected=())
    assert rows_of([entry(Outcome(quiet))]) == [
        ("labels stop", "nothing", "", "", "", "", "silent", "as expected")
    ]
    loud = Outcome(quiet, (fired("TenantryDrift"),))
    assert rows_of([entry(loud)])[0][-2:] == ("TenantryDrift (acme)", "NOT as expected")


def test_what_was_played_again_replaces_what_was_kept_of_it() -> None:
    flood = Incident(name="flood", story="", strike=lambda _: None, expected=())
    other = Incident(name="other", story="", strike=lambda _: None, expected=())
    before, again = Played("2026-11-21", "abc", "a machine"), Played("2026-11-22", "def", "a")
    kept = [entry(Outcome(one), before) for one in (flood, INCIDENT, other)]
    new = [entry(Outcome(INCIDENT, (fired("TenantryDrift"),)), again)]
    found = joined(kept, new, ["drift", "flood"])
    assert [(one["name"], one["played"]["commit"]) for one in found] == [
        ("drift", "def"),
        ("flood", "abc"),
    ]
    page = page_of(found)
    assert page.index("- 2026-11-21, at abc") < page.index("- 2026-11-22, at def")


def test_incidents_have_names_of_their_own() -> None:
    names = [incident.name for incident in EVERY]
    assert len(set(names)) == len(names) >= 10
    assert [one.name for one in incidents_of(["sidecar-dead", "drift"])] == [
        "sidecar dead",
        "drift",
    ]


def test_some_incidents_are_played_only_by_name() -> None:
    whole = {incident.name for incident in incidents_of()}
    assert {"drift", "slow model"} <= whole
    assert "collector dead" not in whole
    [quiet] = incidents_of(["collector-dead"])
    assert quiet.expected == ()
