"""Adapters of tenants: push, list, show, roll out, roll back, delete, migrate."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.client.client import UPLOAD_TIMEOUT_S, Client
from service.client.commands.adapters import adapters as of_a_server
from service.client.commands.options import URL, Json, Key, KeyFile, Timeout, Url, connected
from service.client.commands.screen import REFUSED, Screen
from service.client.metadata import bundle_digest
from service.engine.errors import TenantryError
from service.errors import Conflict

if TYPE_CHECKING:
    from service.gate.figures import Figure
    from service.migration.comparison import Finding
    from service.migration.moving import Moved
    from service.migration.source import Household, OldState

adapters = of_a_server
adapters.info.help = __doc__


@dataclass(frozen=True, slots=True)
class _Judged:
    """One adapter, and what was found of each version that its rollout names."""

    household: "Household"
    findings: "tuple[Finding, ...]"


@adapters.command()
def migrate(
    to: Annotated[Path, typer.Option("--to", help="The bundle that shall serve.")],
    from_bundle: Annotated[Path, typer.Option("--from-bundle", help="The one that serves now.")],
    from_state: Annotated[Path, typer.Option("--from-state", help="The state that it serves.")],
    publish: Annotated[
        bool,
        typer.Option(
            "--publish", help="Send what holds up to the service at --url, which serves --to."
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="TENANT[.ADAPTER]", help="These alone; may be repeated."),
    ] = None,
    unmeasured: Annotated[
        bool, typer.Option("--unmeasured", help="Send those too that brought no hold-out.")
    ] = False,
    accuracy_drop_max: Annotated[
        float, typer.Option(min=0, max=1, help="What may surely be lost and still moves.")
    ] = 0.02,
    rows_max: Annotated[int, typer.Option(min=10, help="Most rows of a hold-out.")] = 2000,
    provider: Annotated[str, typer.Option(help="Where the hold-outs run.")] = "cpu",
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = UPLOAD_TIMEOUT_S,
    json: Json = False,
) -> None:
    """Tell how every adapter would do on another bundle, and move those that hold up.

    Each version that a rollout names runs its hold-out on both bundles, here, beside servers that
    go on. Without --publish nothing is changed anywhere. Exits with 1 where something would be
    rejected, does not fit, or was not measured.
    """
    from service.migration.source import opened

    with opened(from_state) as state:
        if publish:
            with connected(url, key, key_file, timeout, json=json) as (client, screen):
                _require_bundle(client, to)
                judged = list(
                    _judged(
                        state, to, from_bundle, only or (), accuracy_drop_max, rows_max, provider
                    )
                )
                moved = list(_moved(client, state, judged, timeout, unmeasured=unmeasured))
        else:
            screen, moved = Screen(json=json), []
            judged = list(
                _judged(state, to, from_bundle, only or (), accuracy_drop_max, rows_max, provider)
            )
    if only and not judged:
        raise typer.BadParameter(f"{from_state} has no adapter called {' or '.join(only)}")
    _tell(screen, judged, moved, published=publish)
    findings = [finding for one in judged for finding in one.findings]
    if not all(_goes(finding, unmeasured=unmeasured) for finding in findings):
        raise typer.Exit(REFUSED)


def _judged(
    state: "OldState",
    to: Path,
    from_bundle: Path,
    only: Sequence[str],
    accuracy_drop_max: float,
    rows_max: int,
    provider: str,
) -> Iterator[_Judged]:
    with _telling_what_is_missing():
        from service.engine.bundle import open_bundle
        from service.gate.verdict import Thresholds
        from service.migration.judging import Judge
        from service.migration.trial import Trial
        from service.uploads.limits import UploadLimits

    judge = Judge(
        Trial(open_bundle(from_bundle), provider),
        Trial(open_bundle(to), provider),
        Thresholds(accuracy_drop_max=accuracy_drop_max),
        rows_max,
        UploadLimits(),
    )
    for household in state.households():
        rollout = household.rollout
        if not only or rollout.tenant in only or f"{rollout.tenant}.{rollout.adapter}" in only:
            yield _Judged(household, tuple(judge.findings(state, household)))


def _moved(
    client: Client,
    state: "OldState",
    judged: Sequence[_Judged],
    timeout_s: float,
    *,
    unmeasured: bool,
) -> "Iterator[Moved]":
    """Move adapters whose live version moves; the others stay whole where they are."""
    from service.migration.moving import Mover

    mover = Mover(client, timeout_s)
    known = {tenant.name: tenant for tenant in state.tenants()}
    for one in judged:
        moving = {
            finding.version for finding in one.findings if _goes(finding, unmeasured=unmeasured)
        }
        if one.household.rollout.live not in moving:
            continue
        mover.ensure_tenant(known[one.household.rollout.tenant])
        chosen = [each for each in one.household.placed if each.version.version in moving]
        yield mover.move(state, one.household, chosen)


def _goes(finding: "Finding", *, unmeasured: bool) -> bool:
    """Return whether a version is sent: it moves, or was not measured and shall all the same."""
    return finding.moves or (unmeasured and finding.status == "not measured")


def _require_bundle(client: Client, to: Path) -> None:
    """Raise `Conflict` where the service serves another bundle than the one that was judged."""
    serving, wanted = client.backbone().digest, bundle_digest(to)
    if serving != wanted:
        raise Conflict(
            f"the service serves the bundle {serving}, and {to} is {wanted}; start a service with"
            " the bundle that the adapters shall move to, and name it with --url"
        )


@contextmanager
def _telling_what_is_missing() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise TenantryError(
            f"'tenantry adapters migrate' runs bundles: pip install 'tenantry[cpu]' ({error})"
        ) from error


def _tell(
    screen: Screen, judged: "Sequence[_Judged]", moved: "Sequence[Moved]", *, published: bool
) -> None:
    findings = [finding for one in judged for finding in one.findings]
    if screen.json:
        screen.document(
            {
                "findings": [finding.document() for finding in findings],
                "moved": [one.document() for one in moved] if published else None,
            }
        )
        return
    columns = ("adapter", ">version", "role", "on the new bundle", ">rows", ">accuracy", ">before")
    more = (">difference (95 %)", ">calibration error", ">before", "verdict")
    screen.table((*columns, *more), map(_row, findings))
    for finding in findings:
        for reason in finding.reasons:
            screen.line(f"{finding.tenant}.{finding.adapter} {finding.version}: {reason}")
    for one in moved:
        numbers = ", ".join(f"{old} as {new}" for old, new in one.numbers.items())
        answers = "answers there" if one.live else "does NOT answer there"
        screen.line(f"{one.tenant}.{one.adapter} {answers}: versions {numbers or 'none'}")
        for left in one.left:
            screen.line(f"  left: {left}")
    if not published:
        screen.note("nothing was changed; --publish sends what is validated to --url")


def _row(finding: "Finding") -> tuple[object, ...]:
    return (
        f"{finding.tenant}.{finding.adapter}",
        finding.version,
        finding.role,
        finding.status,
        finding.rows or None,
        _share(finding.accuracy_new),
        _share(finding.accuracy_old),
        _interval(finding.difference),
        _share(finding.calibration_new),
        _share(finding.calibration_old),
        finding.verdict,
    )


def _share(figure: "Figure | None") -> str | None:
    return None if figure is None or figure.value is None else f"{figure.value:.3f}"


def _interval(figure: "Figure | None") -> str | None:
    if figure is None or figure.value is None or figure.lower is None or figure.upper is None:
        return None
    return f"{figure.value:+.3f} ({figure.lower:+.3f} to {figure.upper:+.3f})"
