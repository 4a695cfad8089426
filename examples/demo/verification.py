"""`--check`: everything that must hold, in the order in which it can be found out."""

from collections.abc import Sequence
from pathlib import Path

from examples.demo import checks
from examples.demo.checks import Check
from examples.demo.operator_client import Operator, Published
from examples.demo.preparation import Prepared
from examples.demo.screen import Screen
from examples.demo.service_process import ServiceProcess, serving
from examples.demo.session import Asked, ask, upload, wait

# The provider whose answers are exact: float32 throughout.
EXACT = "cpu"


def verify_running(
    operator: Operator,
    prepared: Prepared,
    published: Sequence[Published],
    worse: Published,
    asked: Asked,
) -> list[Check]:
    """Check what the running service did and does."""
    first = asked.replies[0]
    again = upload(operator, prepared, prepared.adapters[0])
    return [
        *checks.check_bundle(prepared.bundle),
        *checks.check_accuracy(prepared.adapters, asked.scores),
        *checks.check_agreement(asked.scores, asked.runs_on),
        *checks.check_identity(prepared.adapters, published, asked.replies),
        *checks.check_mix(asked.mix),
        *checks.check_again(published[0], again),
        *checks.check_gate(worse),
        *checks.check_refusals(operator, prepared.adapters[0].business.tenant),
        *checks.check_open_inference(operator, prepared.adapters, first),
    ]


def verify_stop(service: ServiceProcess) -> list[Check]:
    """Check that a process stops cleanly."""
    status = service.stop()
    return [Check(f"SIGTERM stops {service.what} cleanly", status == 0, f"status {status}")]


def verify_restart(
    screen: Screen, folder: Path, prepared: Prepared, published: Sequence[Published]
) -> list[Check]:
    """Start the service on the same state in float32, and check that it answers exactly."""
    screen.heading("Restart on the same state, in float32")
    log = folder / "restart.log"
    with (
        serving(prepared.bundle.path, folder / "state", None, log, EXACT) as service,
        Operator(service.url) as operator,
    ):
        wait(screen, service)
        asked = ask(screen, service, operator, prepared)
        return [
            *checks.check_kept(prepared.adapters, published, asked.replies),
            *checks.check_parity(asked.scores, asked.runs_on),
            *verify_stop(service),
        ]


def verdict(screen: Screen, found: Sequence[Check]) -> bool:
    """Show every check and return whether all passed."""
    screen.heading("Checks")
    for check in found:
        mark, style = ("ok    ", "green") if check.passed else ("FAILED", "bold red")
        screen.line(f"  {mark}  {check.what}: {check.found}", style)
    failed = sum(not check.passed for check in found)
    seconds = f"{screen.took():.0f} s"
    if failed:
        screen.line(f"\n{failed} of {len(found)} checks failed, after {seconds}", "bold red")
    else:
        screen.line(f"\nall {len(found)} checks passed in {seconds}", "bold green")
    return failed == 0
