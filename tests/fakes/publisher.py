"""A process that publishes until it dies.

`python -m tests.fakes.publisher STATE SEED` publishes for ever. Each line that it prints is an
acknowledgement: number and digest of a version, or revision of a rollout and what is live since.

With a third argument, `dying`, it publishes the same upload again and again, each time in a
process of its own that dies, without any clean-up, one disk call later than the one before. It
prints `died`, and goes on when it gets a line; `lived` is its last word.
"""

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.registry.records import TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
DIED = 86


def publish_for_ever(state: Path, seed: int) -> None:
    registry = Registry.open(state, BACKBONE)
    registry.put_tenant("acme", TenantSettings(), "publisher")
    for i in itertools.count():
        publish_one(registry, seed + i)


def publish_one(registry: Registry, seed: int) -> None:
    package = package_of(MANIFEST, seed=seed, others={"README.md": b"card %d" % seed})
    version, _ = registry.publish("acme", "routing", package, {}, "publisher")
    print(f"version {version.version} {version.digest}", flush=True)  # noqa: T201
    rollout = registry.set_rollout("acme", "routing", {"live": version.version}, None, "publisher")
    print(f"rollout {rollout.revision} {rollout.live}", flush=True)  # noqa: T201


def die_in_call(number: int) -> None:
    """Let the n-th call of `fsync`, `rename` or `mkdir` end the process before it has an effect."""
    calls = itertools.count(1)

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == number:
                os._exit(DIED)
            return call(*args, **kwargs)

        return called

    for name in ("fsync", "rename", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))


def publish_dying(state: Path, seed: int) -> None:
    for call in itertools.count(1):
        child = os.fork()
        if not child:
            registry = Registry.open(state, BACKBONE)
            die_in_call(call)
            publish_one(registry, seed)
            os._exit(0)
        lived = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != DIED
        print("lived" if lived else "died", flush=True)  # noqa: T201
        if lived:
            return
        sys.stdin.readline()


def main() -> None:
    publish = publish_dying if sys.argv[3:] == ["dying"] else publish_for_ever
    publish(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
