"""Distillations in processes that can be killed, without importing torch for each of them.

`python -m tests.fakes.distilling` reads lines `TEACHER<tab>DATA<tab>OUT`, and for each forks a
process that distils on one thread. It prints `pid N`, then a line `STAGE DONE OF` at each step,
and at the end `done`, `failed`, or nothing where the process was killed; then `over`.
"""

import os
import sys
from pathlib import Path

import torch

from exporter.distill.distillation import Request, distil
from exporter.distill.losses import Weights
from exporter.distill.training import Recipe

RECIPE = Recipe(
    epochs=3, batch=8, rate=1e-3, weights=Weights(2.0, 0.5, 0.5), seed=7, checkpoint_steps=4
)


def request_of(teacher: Path, data: Path, out: Path) -> Request:
    return Request(
        str(teacher), data, out, student_layers=1, held_out_share=0.2, recipe=RECIPE, device="cpu"
    )


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201


def main() -> None:
    torch.set_num_threads(1)
    say("ready")
    for line in sys.stdin:
        teacher, data, out = map(Path, line.rstrip("\n").split("\t"))
        child = os.fork()
        if not child:
            say("pid", os.getpid())
            try:
                distil(request_of(teacher, data, out), say)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
                say("failed", type(error).__name__, error)
            else:
                say("done")
            os._exit(0)
        os.waitpid(child, 0)
        say("over")


if __name__ == "__main__":
    main()
