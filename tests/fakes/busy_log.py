"""A log in which all that the sidecar can meet happens, over some days."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.fakes.events import QUIET
from tests.fakes.logs import (
    DAY_S,
    Version,
    WrittenLog,
    embeddings_of,
    probabilities_of,
    written_log,
)

TENANTS = ("acme", "globex", "initech", "umbrella")
_HOUR_S = 3600.0


def write_busy_log(folder: Path, *, rounds: int = 40, seed: int = 0) -> None:
    """Write a log of some tenants: versions with roles, references, rollouts, labels of all kinds.

    Labels come late, twice, out of order, before the predictions of a shadow, and for what was
    never seen; a writer's clock stands still and jumps; rows are malformed.
    """
    rng = np.random.default_rng(seed)
    small = replace(QUIET, segment_bytes=200_000)
    with written_log(folder, small, seed=seed) as log:
        for number, tenant in enumerate(TENANTS[:3]):
            first = Version(tenant=tenant, version=1)
            rows = embeddings_of(90, seed=number)
            log.reference(
                rows,
                probabilities_of(90, seed=number),
                truth=rng.integers(0, 3, 90),
                time_s=DAY_S + number,
                version=first,
                base=rows[::-1] if number else None,
            )
            log.rollout({"live": 1}, time_s=DAY_S + 10 + number, version=first)
        known: list[str] = []
        for number in range(rounds):
            known += _round(log, rng, number, known)
        with_digest = Version(tenant="acme", version=1, digest="sha256:restored")
        log.predictions(
            embeddings_of(30, seed=9),
            probabilities_of(30),
            time_s=log.clock.wall_s,
            version=with_digest,
        )
        log.flush()


def _round(log: WrittenLog, rng: np.random.Generator, number: int, known: list[str]) -> list[str]:
    now_s = DAY_S + 60.0 + number * float(rng.choice([400.0, _HOUR_S, 5 * _HOUR_S]))
    ids: list[str] = []
    for place, tenant in enumerate(TENANTS):
        version = Version(tenant=tenant, version=1 + (number // 15 if place == 0 else 0))
        n = int(rng.integers(1, 40))
        seed = int(rng.integers(1 << 30))
        rows, shares = embeddings_of(n, seed=seed, mean=number / 50), probabilities_of(n, seed=seed)
        early = number % 7 == 3 and place == 1
        answer = log.predictions(
            None if place == 3 else rows,
            shares,
            time_s=now_s + place,
            every_s=float(rng.choice([0.0, 2.0, 90.0])),
            version=version,
            base=rows[:1] if place == 1 else None,
            base_rows=[0] if place == 1 else None,
            group=rng.choice(["north", "south", "east", "west"]) if place < 2 else None,
            audit=[bool(flag) for flag in rng.random(n) < 0.2],
            audit_probability=0.2,
            texts=[f"text {tenant} {row}" for row in range(n)] if place == 2 else None,
        )
        if early:  # a label overtakes what the shadow says
            log.flush()
            log.label(answer[0], 1, time_s=now_s + 5)
        if place < 2:
            log.predictions(
                rows,
                np.roll(shares, 1, axis=1),
                time_s=now_s + place,
                version=replace(version, version=9),
                role="shadow",
                ids=answer,
            )
        if number % 4 == 1:
            log.predictions(
                rows, shares, time_s=now_s - 30 * _HOUR_S, version=version, role="canary"
            )
        ids += answer
    if number % 9 == 4:
        broken = probabilities_of(4)
        broken[1] = np.nan
        log.predictions(embeddings_of(4), broken, time_s=now_s)
        log.predictions(embeddings_of(4), probabilities_of(4, 5), time_s=now_s)
        log.rollout(
            {"live": 1, "canary": {"version": 2, "percent": 5}, "shadow": [9]}, time_s=now_s
        )
        log.quarantine(time_s=now_s, version=Version(tenant="initech", version=4))
    everything = known + ids
    chosen = rng.choice(len(everything), min(len(everything), 25))
    truths = [(everything[place], int(rng.integers(0, 3))) for place in chosen]
    log.labels(truths, time_s=now_s + 20, every_s=0.5)
    log.labels(truths[:5], time_s=now_s - 7 * _HOUR_S)
    if number % 10 == 7:
        version = Version(tenant="umbrella", version=1 + number // 10)
        log.reference(
            embeddings_of(300, seed=number), probabilities_of(300), time_s=now_s, version=version
        )
    return ids
