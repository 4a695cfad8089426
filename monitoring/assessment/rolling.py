"""What rollouts say of an adapter: who answers how much, and when that changed last."""

from collections.abc import Iterable, Mapping

from monitoring.report import Mark
from monitoring.state.adapters import CONTROLLER
from monitoring.state.view import View
from monitoring.web.reports import (
    ROLLBACK_REASONS,
    Cause,
    RollbackReason,
    RolledBack,
    Rollout,
    RolloutRole,
)


def rollout_of(view: View, tenant: str, adapter: str) -> Rollout | None:
    """Return what the log's rollouts and quarantines say of an adapter; None: there are none."""
    first_s = view.first_rolled_s(tenant, adapter)
    if first_s is None:
        return None
    marks = view.rollouts(tenant, adapter)
    return Rollout(
        tenant=tenant,
        adapter=adapter,
        first_s=first_s,
        shares=shares_of(marks[-1]) if marks else {},
        rolled_s=rolled_s(marks),
        rolled_back=rolled_back(marks),
        out_of_service=tuple(sorted(view.out_of_service(tenant, adapter))),
    )


def shares_of(mark: Mark) -> Mapping[tuple[int, RolloutRole], float]:
    """Return the share of the requests that each version of a rollout answers.

    Where the canary's is not known, neither is the live version's.
    """
    shares: dict[tuple[int, RolloutRole], float] = {(one, "shadow"): 0.0 for one in mark.shadow}
    share = 0.0
    if mark.canary is not None:
        if mark.canary_percent is None or not 0.0 <= mark.canary_percent <= 100.0:
            return shares
        share = mark.canary_percent / 100.0
        shares[mark.canary, "canary"] = share
    if mark.live is not None:
        shares[mark.live, "live"] = 1.0 - share
    return shares


def rolled_s(marks: Iterable[Mark]) -> Mapping[Cause, float]:
    """Return when an adapter was rolled out last by whom; marks are in the order of time."""
    return {cause_of(mark): mark.time_s for mark in marks}


def cause_of(mark: Mark) -> Cause:
    """Say whether somebody asked for a rollout."""
    return "automatic" if mark.actor == CONTROLLER else "operator"


def rolled_back(marks: Iterable[Mark]) -> tuple[RolledBack, ...]:
    """Return the last time that each version was taken out for each reason."""
    found: dict[tuple[int, RollbackReason], float] = {}
    for mark in marks:
        reason = reason_of(mark)
        if mark.rolled_back is not None and reason is not None:
            found[mark.rolled_back, reason] = mark.time_s
    return tuple(
        RolledBack(version=version, reason=reason, time_s=time_s)
        for (version, reason), time_s in sorted(found.items())
    )


def reason_of(mark: Mark) -> RollbackReason | None:
    """Return the word that a reason begins with, before a colon; None: it is none that is known."""
    word = (mark.forced or "").partition(":")[0]
    return next((reason for reason in ROLLBACK_REASONS if reason == word), None)
