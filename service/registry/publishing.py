"""How versions come and go, within one change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.errors import Conflict
from service.registry import versions
from service.registry.change import Change
from service.registry.records import RegistryLimits, Version
from service.registry.versions import Draft


def add(change: Change, draft: Draft, limits: RegistryLimits) -> Version:
    """Give a draft the next number; raise `UnacceptableRequest` beyond a limit."""
    versions.check_room(change.connection, draft.tenant, draft.adapter, limits)
    version = versions.insert_next(change.connection, draft, change.at)
    change.reroute(draft.tenant, draft.adapter)
    change.log(
        "version.published", tenant=draft.tenant, adapter=draft.adapter, after=_named(version)
    )
    return version


def judge_again(change: Change, known: Version, report: Mapping[str, Any]) -> Version:
    """Return a version that was sent again; where the bundle is another one now, note that."""
    if known.backbone == change.backbone:
        return known
    versions.rejudge(change.connection, known, change.backbone, report)
    change.reroute(known.tenant, known.adapter)
    change.log(
        "version.rejudged",
        tenant=known.tenant,
        adapter=known.adapter,
        before={**_named(known), "backbone": known.backbone},
        after={**_named(known), "backbone": change.backbone},
    )
    return replace(known, backbone=change.backbone, report=report)


def delete(change: Change, chosen: Sequence[Version]) -> None:
    """Turn versions of one adapter into tombstones; raise `Conflict` while one is live."""
    for version in chosen:
        if version.state == "live":
            raise Conflict(
                f"version {version.version} of {version.tenant}.{version.adapter} is live; make"
                " another one live first, or none"
            )
    versions.bury(change.connection, chosen, change.at)
    for version in chosen:
        change.log(
            "version.deleted",
            tenant=version.tenant,
            adapter=version.adapter,
            before=_named(version),
        )
    change.reroute(chosen[0].tenant, chosen[0].adapter)


def _named(version: Version) -> dict[str, Any]:
    return {"version": version.version, "digest": version.digest}
