"""Before anything is served: the backbone exported, the adapters trained, `peft` asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from examples.demo.adapters import Trained, trained_in
from examples.demo.backbone import bundle_in, model_path
from examples.demo.businesses import BUSINESSES, Business
from examples.demo.plain_peft import peft_probabilities
from examples.demo.screen import Screen
from service.engine.bundle import Bundle

_STEPS = ("load", "trace", "prove", "precisions")
_REUSED = "taken from the last run"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the demo serves, and what `peft` says of every text."""

    bundle: Bundle
    adapters: Sequence[Trained]
    expected: Sequence[npt.NDArray[np.float32]]  # by tenant: probabilities [texts, labels]


def prepare(screen: Screen, folder: Path) -> Prepared:
    """Return everything, made in the folder or taken from it."""
    bundle = _export(screen, folder / "bundle")
    screen.heading("Train: three LoRA adapters with plain peft")
    adapters = [_train(screen, folder / "adapters", business) for business in BUSINESSES]
    screen.table(
        ("tenant", ">labels", ">train", ">test", "LoRA", "~of", "~and all of", ">upload"),
        [_training_row(trained) for trained in adapters],
    )
    expected = []
    with screen.stage("peft's own answers") as advance:
        for done, trained in enumerate(adapters, start=1):
            texts = [row.text for row in trained.rows]
            labels = len(trained.labels)
            expected.append(peft_probabilities(model_path(), trained.folder, labels, texts))
            advance(done, len(adapters), "to compare with")
    return Prepared(bundle, adapters, expected)


def _export(screen: Screen, folder: Path) -> Bundle:
    screen.heading("Export: MiniLM, 22 million parameters, to a banked ONNX graph")
    with screen.stage("export and proof") as advance:
        bundle, reused = bundle_in(
            folder,
            lambda step, done, of: advance(_STEPS.index(step) * of + done, len(_STEPS) * of, step),
        )
        advance(1, 1, _REUSED if reused else "")
    parity = bundle.manifest.parity
    screen.line(f"  {bundle.path}  {bundle.digest}")
    screen.line(
        f"  proven on {parity.texts} texts of {parity.adapters} adapters: probabilities within"
        f" {parity.max_probability_error:.1e} of peft's"
    )
    return bundle


def _train(screen: Screen, folder: Path, business: Business) -> Trained:
    epochs = business.recipe.epochs
    with screen.stage(f"{business.tenant}: {business.what}") as advance:
        trained = trained_in(
            folder / business.tenant,
            business,
            model_path(),
            lambda epoch, loss: advance(epoch, epochs, f"epoch {epoch}, loss {loss:.2f}"),
        )
        if trained.seconds is None:
            advance(1, 1, _REUSED)
    return trained


def _training_row(trained: Trained) -> tuple[str, ...]:
    recipe = trained.business.recipe
    scaling = "rsLoRA" if recipe.rank_stabilised else "LoRA"
    return (
        trained.business.tenant,
        str(len(trained.labels)),
        str(len(trained.train)),
        str(len(trained.test)),
        f"{scaling} r={recipe.rank} alpha={recipe.alpha}",
        " ".join(target.removeprefix("attention.") for target in recipe.targets),
        " ".join(("classifier", *recipe.also_trained)),
        f"{len(trained.packed()) / 1e3:.0f} kB",
    )
