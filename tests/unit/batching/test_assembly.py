"""What becomes of a remembered choice that can no longer be opened."""

import logging
from pathlib import Path

import pytest

from service.batching import assembly
from service.engine.bundle import Bundle
from service.engine.errors import ProviderUnavailable
from service.engine.runtime import Runtime
from service.engine.tuning.choice import Choice, Chooser
from service.engine.tuning.setup import Setup, default_setup
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.runtime import FakeRuntime

BUNDLE = Bundle(Path("nowhere"), BACKBONE, manifest_of(), {})
GONE = default_setup("fp32", "openvino", 1)
THERE = default_setup("fp32", "cpu", 1)


class Machine:
    """One provider is there, and the other cannot be opened."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        self.reasons: list[str] = []
        patch.setattr(Setup, "open", lambda setup, *_: self._open(setup))
        patch.setattr(Chooser, "choose_again", lambda _, why: self._again(why))

    def _open(self, setup: Setup) -> Runtime:
        self.opened.append(setup.provider)
        if setup == GONE:
            raise RuntimeError("the library is of another version")
        return FakeRuntime(BUNDLE, 8)

    def _again(self, why: str) -> Choice:
        self.reasons.append(why)
        return Choice(THERE, "fastest here")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def opener(setup: Setup, *, remembered: bool) -> assembly._Opener:
    return assembly._Opener(Chooser(BUNDLE, None, 8), Choice(setup, "why", remembered))


def test_a_remembered_provider_that_opens_is_not_measured_again(machine: Machine) -> None:
    opener(THERE, remembered=True).open()
    assert (machine.opened, machine.reasons) == (["cpu"], [])


def test_a_remembered_provider_that_no_longer_opens_is_chosen_anew_and_said_so(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    made = opener(GONE, remembered=True)
    with caplog.at_level(logging.WARNING):
        made.open()
    assert machine.opened == ["openvino", "cpu"]
    [why] = machine.reasons
    assert "openvino, which was remembered, cannot be opened" in why
    assert "the library is of another version" in why
    assert made.choice.reason == "fastest here"
    assert "provider cpu: fastest here" in caplog.text


def test_a_provider_that_was_just_measured_or_asked_for_fails_as_it_is(machine: Machine) -> None:
    with pytest.raises(RuntimeError, match="of another version"):
        opener(GONE, remembered=False).open()
    assert machine.reasons == []


def test_what_is_chosen_anew_and_fails_too_ends_the_start(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: Chooser, why: str) -> Choice:
        raise ProviderUnavailable(f"nothing runs; {why}")

    monkeypatch.setattr(Chooser, "choose_again", none)
    with pytest.raises(ProviderUnavailable, match="nothing runs; openvino"):
        opener(GONE, remembered=True).open()
    assert machine.opened == ["openvino"]
