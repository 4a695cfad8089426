"""How rollouts change, within one change of the registry."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service.errors import Conflict, RevisionMismatch, UnacceptableRequest
from service.registry import rollouts, versions
from service.registry.change import Change
from service.registry.records import Proof, Rollout
from service.registry.rollout_document import RolloutDocument, document_of

AUTOMATIC = "rollout.automatic_rollback"


def place(
    change: Change, before: Rollout, document: RolloutDocument, if_match: int | None
) -> Rollout:
    """Put a document in place; the same again changes nothing.

    Raises `RevisionMismatch`, and `UnacceptableRequest` naming everything that keeps a version
    from its role.
    """
    _check_revision(before, if_match)
    flaws = _flaws(change, before, document)
    if flaws:
        raise UnacceptableRequest("; ".join(flaws))
    if before.revision and document == document_of(before):
        return before
    return _roll(change, "rollout.set", before, document, before.revision or None)


def back(change: Change, before: Rollout, if_match: int | None) -> Rollout:
    """Return to the document before the current one, whole, as a new revision.

    What was forced then stays forced. Raises `RevisionMismatch`, and `Conflict` where there is
    nothing to return to.
    """
    _check_revision(before, if_match)
    name = f"{before.tenant}.{before.adapter}"
    if before.previous is None:
        raise Conflict(f"{name} has no earlier rollout to return to")
    past = rollouts.at_revision(change.connection, before.tenant, before.adapter, before.previous)
    document = document_of(past)
    flaws = _flaws(change, before, document)
    if flaws:
        raise Conflict(f"revision {past.revision} cannot be returned to: {'; '.join(flaws)}")
    return _roll(change, "rollout.back", before, document, past.previous)


def without_canary(change: Change, before: Rollout, proof: Proof, if_match: int) -> Rollout:
    """Take the canary out, as the controller does; live version and shadows stay as they are.

    What was forced stays forced. A rollback by a person then returns to what was before the
    canary, neither to the canary nor to the same once more. Raises `RevisionMismatch`, and
    `Conflict` where there is no canary.
    """
    _check_revision(before, if_match)
    if before.canary is None:
        raise Conflict(f"{before.tenant}.{before.adapter} has no canary to take out")
    document = replace(document_of(before), canary=None)
    previous = rollouts.begin_of_trial(change.connection, before).previous
    if previous is not None:
        past = rollouts.at_revision(change.connection, before.tenant, before.adapter, previous)
        if document_of(past) == document:
            previous = past.previous
    return _controlled(change, before, document, previous, proof)


def back_to_shadow(
    change: Change, before: Rollout, version: int, proof: Proof, if_match: int
) -> Rollout:
    """Make a shadow live again, as the controller does; there is no canary then.

    Raises `RevisionMismatch`, and `Conflict` where the version is no shadow.
    """
    _check_revision(before, if_match)
    if version not in before.shadows:
        raise Conflict(f"version {version} of {before.tenant}.{before.adapter} is no shadow")
    shadows = tuple(number for number in before.shadows if number != version)
    document = RolloutDocument(version, None, shadows, before.forced)
    return _controlled(change, before, document, before.previous, proof)


def _controlled(
    change: Change, before: Rollout, document: RolloutDocument, previous: int | None, proof: Proof
) -> Rollout:
    told = {"reason": proof.reason, "evidence": proof.evidence}
    after = _roll(change, AUTOMATIC, before, document, previous, told)
    return replace(after, reason=proof.reason)


def _check_revision(rollout: Rollout, if_match: int | None) -> None:
    if if_match is not None and if_match != rollout.revision:
        raise RevisionMismatch(
            f"the rollout of {rollout.tenant}.{rollout.adapter} is at revision"
            f" {rollout.revision}, not {if_match}: somebody changed it in between"
        )


def _flaws(change: Change, before: Rollout, document: RolloutDocument) -> list[str]:
    numbers, backbone = document.numbers(), change.backbone
    named = versions.some(change.connection, before.tenant, before.adapter, numbers)
    known = {version.version: version for version in named}
    flaws = []
    for number in numbers:
        version = known.get(number)
        if version is None:
            flaws.append(f"there is no version {number}, or it was deleted")
            continue
        if version.backbone != backbone:
            flaws.append(
                f"version {number} was judged against the bundle {version.backbone}, and this"
                f" server serves {backbone}; upload it again"
            )
        if version.verdict == "rejected" and document.forced is None:
            flaws.append(
                f"version {number} was rejected by the upload gate, as its report says;"
                " only `force` with a `reason` can name it"
            )
    return flaws


def _roll(
    change: Change,
    action: str,
    before: Rollout,
    document: RolloutDocument,
    previous: int | None,
    told: Mapping[str, Any] | None = None,
) -> Rollout:
    after = rollouts.put(change.connection, before, document, previous, change.actor, change.at)
    change.log(
        action,
        tenant=after.tenant,
        adapter=after.adapter,
        before={"revision": before.revision, **before.document()},
        after={"revision": after.revision, **after.document(), **(told or {})},
    )
    return after
