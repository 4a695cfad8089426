"""Method (g), the fleet detector: did everyone move, or only this tenant?

If the backbone or the pre-processing broke, all tenants move at once, and one alarm is enough.
Each tenant has an e-detector like the watch's (`watch.py`), on what its watch reports at the end of
a bucket. With increments e_it whose mean is at most 1 whatever came before, as long as tenant i is
healthy, and with an allowance of 1/A false alarms a tick that n tenants share,

    M_it = (M_i(t-1) + 1 / (n A)) e_it,    alarm where the sum of all M_it but the k largest is 1.

Where at most k tenants moved, that sum is at most the sum over the healthy ones, and this one less
what ticks allowed falls in the mean, however tenants depend on each other within a tick (the
partial conjunction of e-values, Vovk and Wang 2021). So one false alarm is borne in A ticks at
most, whatever the k do. k is a fifth of the tenants, two at the least: a few that moved raise their
own alarms and not the fleet's. No M is more than three times its even share of that sum, so a third
of the others must have moved too.

The evidence of a tenant outlasts what one bucket can tell: that many moved a little is found too.
One that has been far on its own for a week is set apart, and no longer counted until its evidence
is gone: drifts that come one by one and stay do not add up to a fleet's. The alarm lasts until a
hundredth of the evidence is left; then all that are counted begin anew.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

TENANTS_MIN = 3  # that are counted, below which there is no fleet to speak of

_MARGIN = 5  # one in so many of the counted tenants may have moved,
_MARGIN_TENANTS = 2  # and so many in any case
_SHARES_MAX = 3.0  # even shares of an alarm that a tenant may bring
_STAKE = 0.9
_CALM = 0.01  # share of an alarm's evidence at which it is over
_APART_US = 7 * 86_400 * 10**6


@dataclass(slots=True)
class State:
    """What the fleet detector remembers: up to three numbers a tenant, and little more."""

    held: dict[str, float] = field(default_factory=dict)  # evidence by active tenant, in alarms
    moved_us: dict[str, int] = field(default_factory=dict)  # since when it is far, where it is
    apart_us: dict[str, int] = field(default_factory=dict)  # the same, where it is not counted
    total: float | None = None  # of all but the largest; None: too few tenants are counted
    ticks: int = 0
    alarms: int = 0
    everyone: bool = False  # whether the alarm is on

    @staticmethod
    def begin() -> "State":
        """Return the state before any report."""
        return State()

    def forget(self, tenant: str) -> bool:
        """Delete what is remembered of a tenant; return whether there was anything."""
        self.moved_us.pop(tenant, None)
        self.apart_us.pop(tenant, None)
        return self.held.pop(tenant, None) is not None


def reported(evidence: Iterable[float]) -> float:
    """Return what a tenant reports: the mean over the evidence of its versions.

    Raises `ValueError` for no evidence.
    """
    each = tuple(evidence)
    if not each:
        raise ValueError("no evidence to report")
    return math.fsum(each) / len(each)


def update(
    state: State,
    reports: Mapping[str, float],
    active: Collection[str],
    time_us: int,
    run_length: float,
) -> bool:
    """Take the reports of a tick in; return whether the alarm was raised by them.

    `reports` are evidence of a mean of at most 1, of those of the `active` tenants, which had
    traffic of late, that have any. A tenant that is not active any more is forgotten. `time_us` is
    that of the tick. `run_length`, above 0, is in how many ticks one false alarm is borne.
    """
    state.ticks += 1
    tenants = sorted(active)
    state.moved_us = {name: since for name, since in state.moved_us.items() if name in active}
    state.apart_us = {name: since for name, since in state.apart_us.items() if name in active}
    counted = [name for name in tenants if name not in state.apart_us]
    heard = len(counted) - max(_MARGIN_TENANTS, len(counted) // _MARGIN)
    share = 1 / max(1, heard)
    before, allowed = state.held, 1 / run_length / max(1, len(tenants))
    state.held = {
        name: min((before.get(name, 0.0) + allowed) * _paid(reports.get(name)), _SHARES_MAX * share)
        for name in tenants
    }
    smallest = sorted(state.held[name] for name in counted)[: max(0, heard)]
    state.total = math.fsum(smallest) if len(counted) >= TENANTS_MIN else None
    is_raised = _judge(state, counted)
    _set_apart(state, share, time_us)
    return is_raised


def evidence_log10(state: State, run_length: float) -> float | None:
    """Return the evidence as a power of ten: an alarm is raised at that of the run length.

    None where too few tenants are counted, and before the first report.
    """
    if state.total is None or state.total <= 0:
        return None
    return math.log10(state.total) + math.log10(run_length)


def reading(state: State, moved: int, watched: int) -> str:
    """Return one plain sentence: `moved` of `watched` adapters are in alarm on their own."""
    if state.everyone:
        return (
            f"everyone moved ({moved} of {watched} adapters in alarm): "
            "suspect the backbone or the pre-processing, not the tenants"
        )
    if moved:
        return f"{moved} of {watched} adapters moved, the others did not"
    if state.total is None:
        return "no adapter moved; too few tenants report to tell whether everyone did"
    return "no adapter moved"


def _paid(evidence: float | None) -> float:
    return 1.0 if evidence is None else 1 - _STAKE + _STAKE * evidence


def _judge(state: State, counted: Collection[str]) -> bool:
    """Begin or end the alarm; return whether it began."""
    total = 0.0 if state.total is None else state.total
    if not state.everyone and total >= 1:
        state.everyone = True
        state.alarms += 1
        return True
    if state.everyone and total < _CALM:
        state.everyone = False
        for name in counted:
            state.held[name] = 0.0
            state.moved_us.pop(name, None)
    return False


def _set_apart(state: State, share: float, time_us: int) -> None:
    """Note who is far on its own, for how long, and who came back."""
    for name, evidence in state.held.items():
        if name in state.apart_us:
            if evidence < _CALM * share:
                state.held[name] = 0.0
                del state.apart_us[name]
        elif evidence < _CALM * share:
            state.moved_us.pop(name, None)
        elif evidence >= share:
            since_us = state.moved_us.setdefault(name, time_us)
            if time_us - since_us >= _APART_US and not state.everyone:
                state.apart_us[name] = state.moved_us.pop(name)
