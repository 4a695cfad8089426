"""How versions come and go, within one change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.errors import Conflict
from service.registry import versions
from service.registry.change import Change
from service.registry.records import RegistryLimits, Verdict, Version
from service.registry.versions import Draft

_IN_USE = {"live": "live", "canary": "its canary", "shadow": "a shadow"}


def add(change: Change, draft: Draft, limits: RegistryLimits) -> Version:
    """Give a draft the next number; raise `UnacceptableRequest` beyond a limit."""
    versions.check_room(change.connection, draft.tenant, draft.adapter, limits)
    version = versions.insert_next(change.connection, draft, change.at)
    after = {**_named(version), "verdict": version.verdict}
    change.log("version.published", tenant=draft.tenant, adapter=draft.adapter, after=after)
    return version


def judge_again(
    change: Change, known: Version, report: Mapping[str, Any], verdict: Verdict
) -> Version:
    """Return a version that was sent again, with the verdict that it has.

    Where the bundle is another one by now, the new report and verdict take the places of the old.
    """
    if known.backbone == change.backbone:
        return known
    versions.rejudge(change.connection, known, change.backbone, report, verdict)
    change.log(
        "version.rejudged",
        tenant=known.tenant,
        adapter=known.adapter,
        before={**_named(known), "backbone": known.backbone, "verdict": known.verdict},
        after={**_named(known), "backbone": change.backbone, "verdict": verdict},
    )
    state = verdict if known.state == known.verdict else known.state
    return replace(known, backbone=change.backbone, report=report, verdict=verdict, state=state)


def delete(change: Change, chosen: Sequence[Version]) -> None:
    """Turn versions of one adapter into tombstones; raise `Conflict` while a rollout names one."""
    for version in chosen:
        if version.state in _IN_USE:
            raise Conflict(
                f"version {version.version} of {version.tenant}.{version.adapter} is"
                f" {_IN_USE[version.state]}; take it out of the rollout first"
            )
    versions.bury(change.connection, chosen, change.at)
    change.gone.extend(version.digest for version in chosen)
    for version in chosen:
        change.log(
            "version.deleted",
            tenant=version.tenant,
            adapter=version.adapter,
            before=_named(version),
        )


def _named(version: Version) -> dict[str, Any]:
    return {"version": version.version, "digest": version.digest}
