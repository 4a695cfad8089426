"""What `--check` verifies: each thing a sentence, with what was found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from examples.demo.adapters import Trained
from examples.demo.batch_mix import BatchMix
from examples.demo.operator_client import Operator, Published
from examples.demo.scores import Score
from examples.demo.traffic import Reply
from examples.demo.watching import DRIFTING, TOLD_S_MAX, TURNING, Told
from service.engine.bundle import Bundle

AGREEMENT_MIN = 0.995
PROBABILITY_ERROR_MAX = 1e-4
MIXED_MIN = 0.5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    what: str
    passed: bool
    found: str


def check_bundle(bundle: Bundle) -> list[Check]:
    """Check that the export proved itself."""
    parity = bundle.manifest.parity
    return [
        Check(
            "the export proved itself against transformers and peft",
            parity.passed and parity.max_probability_error <= PROBABILITY_ERROR_MAX,
            f"{parity.texts} texts, {parity.adapters} adapters,"
            f" error {parity.max_probability_error:.1e}",
        )
    ]


def check_accuracy(adapters: Sequence[Trained], scores: Sequence[Score]) -> list[Check]:
    """Check each tenant's accuracy on its test split."""
    checks = []
    for trained, score in zip(adapters, scores, strict=True):
        business = trained.business
        wanted = max(business.floor, business.baseline)
        checks.append(
            Check(
                f"{business.tenant}: accuracy at least {wanted:.2f}"
                f" (bag of words: {business.baseline:.2f})",
                score.accuracy >= wanted,
                f"{score.accuracy:.3f}",
            )
        )
    return checks


def check_agreement(scores: Sequence[Score], provider: str) -> list[Check]:
    """Check that the answers have the labels that peft gives."""
    answers = sum(score.answers for score in scores)
    share = sum(score.as_peft for score in scores) / answers
    return [
        Check(
            f"on {provider}: at least {AGREEMENT_MIN:.1%} of the labels are peft's",
            share >= AGREEMENT_MIN,
            f"{share:.2%} of {answers}",
        )
    ]


def check_parity(scores: Sequence[Score], provider: str) -> list[Check]:
    """Check that the probabilities are those that peft gives."""
    worst = max(score.worst for score in scores)
    return [
        Check(
            f"in float32: every probability within {PROBABILITY_ERROR_MAX:.0e} of peft's",
            worst <= PROBABILITY_ERROR_MAX,
            f"largest difference {worst:.1e}, on {provider}",
        )
    ]


def check_identity(
    adapters: Sequence[Trained], published: Sequence[Published], replies: Sequence[Reply]
) -> list[Check]:
    """Check that every answer came from its own tenant's adapter, and can be told apart."""
    foreign = Counter(
        adapters[reply.question.business].business.tenant
        for reply in replies
        if (reply.tenant, reply.version, reply.digest) != _expected(adapters, published, reply)
    )
    ids = {reply.id for reply in replies}
    return [
        Check(
            "every answer names its own tenant, version and digest",
            not foreign,
            f"{len(replies)} answers, {foreign.total()} foreign",
        ),
        Check("every answer has an id of its own", len(ids) == len(replies), f"{len(ids)} ids"),
    ]


def _expected(
    adapters: Sequence[Trained], published: Sequence[Published], reply: Reply
) -> tuple[str, int, str]:
    at = reply.question.business
    return adapters[at].business.tenant, published[at].version, published[at].digest


def check_mix(mix: BatchMix) -> list[Check]:
    """Check that tenants shared forward passes."""
    return [
        Check(
            f"at least {MIXED_MIN:.0%} of the batches hold several tenants' texts",
            mix.mixed >= MIXED_MIN,
            f"{mix.mixed:.0%} of {mix.batches}, {mix.adapters:.2f} adapters a batch",
        )
    ]


def check_kept(
    adapters: Sequence[Trained], published: Sequence[Published], replies: Sequence[Reply]
) -> list[Check]:
    """Check that the versions that were live before a restart answer after it."""
    live = {(reply.tenant, reply.version, reply.digest) for reply in replies}
    wanted = {
        (trained.business.tenant, version.version, version.digest)
        for trained, version in zip(adapters, published, strict=True)
    }
    return [
        Check(
            "after a restart the same versions answer",
            live == wanted,
            f"{len(live & wanted)} of {len(wanted)}",
        )
    ]


def check_again(first: Published, again: Published) -> list[Check]:
    """Check that the same content is the same version."""
    return [
        Check(
            "the same adapter uploaded again is the same version",
            not again.created and again.version == first.version and again.digest == first.digest,
            f"version {again.version}, {'created' if again.created else 'known'}",
        )
    ]


def check_gate(worse: Published) -> list[Check]:
    """Check that a version that is surely worse than the live one is rejected."""
    return [
        Check(
            "a version with two of its labels swapped is rejected by the gate",
            worse.created and worse.state == "rejected",
            f"version {worse.version}, {worse.state}",
        )
    ]


def check_refusals(operator: Operator, tenant: str) -> list[Check]:
    """Check that what is not there is a 404, and never answered by the bare backbone."""
    checks = []
    for path, code in (
        (f"/v1/tenants/{tenant}/adapters/no-such/predict", "unknown-adapter"),
        ("/v1/tenants/no-such/adapters/inbox/predict", "unknown-tenant"),
    ):
        status, told = operator.ask("POST", path, {"inputs": ["Where is my bag?"]})
        checks.append(
            Check(
                f"an {code.replace('-', ' ')} is a 404, never the bare backbone",
                (status, told.get("code")) == (404, code),
                f"{status} {told.get('code')}",
            )
        )
    return checks


def check_open_inference(
    operator: Operator, adapters: Sequence[Trained], reply: Reply
) -> list[Check]:
    """Check that the Open Inference Protocol gives the same answer."""
    trained = adapters[reply.question.business]
    texts = [trained.rows[reply.question.row].text]
    status, told = operator.ask(
        "POST",
        f"/v2/models/{trained.business.model}/infer",
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": texts}]},
    )
    found = {output["name"]: output["data"] for output in told.get("outputs", [])}
    return [
        Check(
            "the Open Inference Protocol v2 gives the same label",
            status == 200 and found.get("label") == [reply.label],
            f"{status} {found.get('label')}",
        )
    ]


def check_watch(adapters: Sequence[Trained], told: Told) -> list[Check]:
    """Check that the sidecar told what went wrong, of whom, and of nobody else."""
    tenants = [trained.business.tenant for trained in adapters]
    drifting, turning = tenants[DRIFTING], tenants[TURNING]
    before = {tenant: line["state"] for tenant, line in told.healthy.items()}
    on = {tenant: sorted(kinds) for tenant, kinds in told.alarms.items()}
    harm = told.alarms[turning] & {"accuracy", "calibration"}
    return [
        Check(
            "healthy traffic raises no alarm",
            set(before) == set(tenants) and "alarm" not in before.values(),
            f"{before}",
        ),
        Check(
            f"{drifting} gets others' mail: a drift alarm, and no other",
            told.alarms[drifting] == {"drift"},
            f"{on[drifting]}, {told.lines[drifting]['why']}",
        ),
        Check(
            f"the labels of {turning} turn: harm, and no drift",
            bool(harm) and "drift" not in told.alarms[turning],
            f"{on[turning]}, {told.lines[turning]['why']}",
        ),
        Check(
            "nobody else is in alarm",
            all(not on[tenant] for tenant in tenants if tenant not in (drifting, turning)),
            f"{on}",
        ),
        Check(
            "both call for training, in signed triggers",
            (drifting, "drift") in told.reasons and any(of == turning for of, _ in told.reasons),
            f"{sorted(told.reasons)}",
        ),
        Check(
            f"told within {TOLD_S_MAX:.0f} s of the first wrong text",
            told.seconds <= TOLD_S_MAX,
            f"{told.seconds:.0f} s",
        ),
    ]
