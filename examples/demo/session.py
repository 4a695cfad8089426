"""One run of the service: publish, ask, and show who was answered what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from examples.demo.adapters import Trained
from examples.demo.answers_table import COLUMNS, answer_rows
from examples.demo.batch_mix import BatchMix, batch_mix
from examples.demo.operator_client import Operator, Published
from examples.demo.preparation import Prepared
from examples.demo.scores import Score, scores_of
from examples.demo.screen import Screen
from examples.demo.service_process import ServiceProcess
from examples.demo.traffic import IN_FLIGHT, Reply, questions_of, send

SHOWN = 12
_SECONDS_TO_MS = 1e3


@dataclass(frozen=True, slots=True)
class Asked:
    """What came back."""

    replies: Sequence[Reply]
    scores: Sequence[Score]  # by tenant
    mix: BatchMix
    seconds: float

    @property
    def runs_on(self) -> str:
        """Return the provider that answered, and the type that it computed in."""
        return f"{self.replies[0].provider} ({self.replies[0].precision})"


def wait(screen: Screen, service: ServiceProcess) -> None:
    """Wait until the service is ready."""
    screen.line(f"  $ {service.shown()}")
    with screen.stage("start and warm up") as advance:
        seconds = service.wait_until_ready()
        advance(1, 1, f"ready after {seconds:.1f} s")
    screen.line(f"  its log: {service.log}")


def publish(screen: Screen, operator: Operator, prepared: Prepared) -> list[Published]:
    """Upload every adapter, which is measured on the way in, and let it answer."""
    published: list[Published] = []
    screen.heading("Publish: a tenant, an upload and a rollout for each adapter")
    for trained in prepared.adapters:
        business = trained.business
        operator.make_tenant(business.tenant)
        version = upload(operator, prepared, trained)
        operator.make_live(business.tenant, business.adapter, version.version)
        published.append(version)
    screen.table(
        ("model", ">version", "state", "held-out accuracy", "nearest centroids", "digest"),
        [
            (
                trained.business.model,
                str(version.version),
                f"{version.state}, live",
                _accuracy(version.report["measured"]),
                _accuracy(version.report["measured"]["baseline"]),
                version.digest[:15],
            )
            for trained, version in zip(prepared.adapters, published, strict=True)
        ],
    )
    return published


def publish_worse(screen: Screen, operator: Operator, prepared: Prepared) -> Published:
    """Upload an adapter with two of its labels swapped, and show what the gate says."""
    trained = prepared.adapters[0]
    worse = upload(operator, prepared, trained.mislabelled())
    screen.line(
        f"  {trained.business.model} again, two labels swapped: version {worse.version} is"
        f" {worse.state}"
    )
    for check in worse.report["checks"]:
        if check["passed"] is False:
            screen.line(f"    {check['sentence']}")
    return worse


def _accuracy(measured: Mapping[str, Any]) -> str:
    found = measured["accuracy"]
    return f"{found['value']:.3f} ({found['lower']:.2f} to {found['upper']:.2f})"


def upload(operator: Operator, prepared: Prepared, trained: Trained) -> Published:
    """Upload one tenant's adapter."""
    return operator.upload(
        trained.business.tenant,
        trained.business.adapter,
        trained.packed(),
        trained.metadata(prepared.bundle.digest),
    )


def ask(screen: Screen, service: ServiceProcess, operator: Operator, prepared: Prepared) -> Asked:
    """Send all tenants' texts, mixed."""
    screen.heading("Ask: every text of the three, shuffled together")
    questions = questions_of(prepared.adapters)
    before = operator.metrics()
    with screen.stage(f"{len(questions)} requests, {IN_FLIGHT} at a time") as advance:
        replies, seconds = send(
            service.url, questions, lambda done: advance(done, len(questions), "")
        )
    mix = batch_mix(before, operator.metrics())
    scores = scores_of(prepared.adapters, prepared.expected, replies)
    return Asked(replies, scores, mix, seconds)


def show(screen: Screen, prepared: Prepared, asked: Asked) -> None:
    """Show answers, accuracy, throughput and batch mix."""
    screen.heading("Who was answered what")
    screen.table(COLUMNS, answer_rows(prepared.adapters, asked.replies, SHOWN))
    screen.heading("How well")
    screen.table(
        (
            "tenant",
            ">labels",
            ">test accuracy",
            ">bag of words",
            ">all texts",
            ">same label as peft",
            ">scores off by at most",
        ),
        [_score_row(prepared, asked, at) for at in range(len(prepared.adapters))],
    )
    screen.heading("How fast, and how mixed")
    for line in _figures(asked):
        screen.line(f"  {line}")


def _score_row(prepared: Prepared, asked: Asked, at: int) -> tuple[str, ...]:
    trained, score = prepared.adapters[at], asked.scores[at]
    return (
        trained.business.tenant,
        str(len(trained.labels)),
        f"{score.accuracy:.3f}",
        f"{trained.business.baseline:.2f}",
        str(score.answers),
        f"{score.agreement:.2%}",
        f"{score.worst:.1e}",
    )


def _figures(asked: Asked) -> list[str]:
    mix = asked.mix
    waits = sorted(reply.seconds * _SECONDS_TO_MS for reply in asked.replies)
    median, late = waits[len(waits) // 2], waits[len(waits) * 95 // 100]
    speed = f"{len(waits) / asked.seconds:.0f} texts a second on {asked.runs_on}, one a request"
    batch = f"{mix.texts:.1f} texts, {mix.tokens:.0f} tokens, {mix.adapters:.2f} adapters"
    return [
        f"{speed}; p50 {median:.0f} ms, p95 {late:.0f} ms (this client shares the machine)",
        f"{mix.batches} forward passes of {mix.seconds * _SECONDS_TO_MS:.1f} ms: {batch} each",
        f"{mix.mixed:.0%} of them mixed tenants; {mix.fill:.0%} of their places held a token",
    ]
