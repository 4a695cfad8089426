"""A process that changes a registry until it dies.

`python -m tests.fakes.publisher STATE SEED` publishes, rolls out with a canary and a shadow, makes
keys and revokes them, for ever. Each line that it prints is an acknowledgement, as JSON: what was
done, and what of it must be there from now on.

With a third argument, `dying`, it makes the same changes again and again, each time in a process
of its own that dies, without any clean-up, one step later than the one before: a call that writes
to the disk, an SQL statement, or a commit. It prints `died`, and goes on when it gets a line;
`lived` is its last word.
"""

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from service.registry.records import TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
DIED = 86


def say(what: str, **told: object) -> None:
    print(json.dumps({"what": what, **told}), flush=True)  # noqa: T201


def change_for_ever(state: Path, seed: int) -> None:
    registry = Registry.open(state, BACKBONE)
    registry.put_tenant("acme", TenantSettings(), "publisher")
    for i in itertools.count():
        change_once(registry, seed + i)


def change_once(registry: Registry, seed: int) -> None:
    package = package_of(MANIFEST, seed=seed, others={"README.md": b"card %d" % seed})
    number = registry.publish("acme", "routing", package, {}, "publisher")[0].version
    say("version", number=number, digest=package.digest)
    document: dict[str, object] = {"live": number}
    if number > 2:
        document["canary"] = {"version": number - 1, "percent": 12.5}
        document["shadow"] = [number - 2]
    rollout = registry.set_rollout("acme", "routing", document, None, "publisher")
    say("rollout", revision=rollout.revision, document=rollout.document())
    record, key = registry.create_key("acme", ["predict"], "publisher")
    say("key", id=record.id, key=key)
    oldest = registry.keys("acme")[0].id
    if oldest != record.id:
        say("revoking", id=oldest)
        registry.revoke_key("acme", oldest, "publisher")
        say("revoked", id=oldest)


def die_in_step(number: int) -> None:
    """Let the n-th step end the process before it has an effect."""
    steps = itertools.count(1)

    def step(*_: Any) -> None:
        if next(steps) == number:
            os._exit(DIED)

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            step()
            return call(*args, **kwargs)

        return called

    for name in ("fsync", "rename", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))
    event.listen(Engine, "before_cursor_execute", step)
    event.listen(Engine, "commit", step)


def change_dying(state: Path, seed: int) -> None:
    for number in itertools.count(1):
        child = os.fork()
        if not child:
            registry = Registry.open(state, BACKBONE)
            die_in_step(number)
            change_once(registry, seed)
            os._exit(0)
        lived = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != DIED
        print("lived" if lived else "died", flush=True)  # noqa: T201
        if lived:
            return
        sys.stdin.readline()


def main() -> None:
    change = change_dying if sys.argv[3:] == ["dying"] else change_for_ever
    change(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
