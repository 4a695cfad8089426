"""Dedicated bundles: a model that answers by itself, without a bank.

The model is a fully fine-tuned checkpoint, or one that `exporter/merge.py` made. Its graph has no
bank inputs, its head is the checkpoint's own, and the manifest names its classes. The proof is
that of any bundle, but that the model itself is the reference: its answers in `transformers`, one
by one, against the graph's, all texts mixed into shared rows or all images into shared passes.
"""

from collections.abc import Callable, Sequence

import torch

from exporter.class_names import own_names
from exporter.errors import UnreadableModel, UnsupportedModel
from exporter.precision.answers import answers_of
from exporter.proof import (
    Reference,
    Sample,
    compare,
    encode,
    mean_state,
    prepare,
    random_samples,
    tokens_per_second,
)
from exporter.source import LoadedModel
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle, Dedicated, HeadStep, Manifest, Parity
from service.engine.dedicated import own_head
from service.engine.forward import Forward, Member
from service.engine.runtime import OnnxRuntime

_STEPS = 4  # of the proof, for its progress
_KIND = "single_label_classification"


def own_classes(
    loaded: LoadedModel, head: Sequence[HeadStep], given: Sequence[str]
) -> tuple[str, ...]:
    """Return the names of the classes of a model that answers by itself.

    `given` name them where its config does not. Raises `UnreadableModel` where a part of the head,
    or the names, are missing, and `UnsupportedModel` where it is no classifier of one class a
    text.
    """
    config = loaded.model.config
    missing = [step.module for step in head if step.module in loaded.missing]
    if missing:
        raise UnreadableModel(
            f"{loaded.path}: the checkpoint holds no trained {', '.join(missing)}, so it answers"
            " nothing by itself; export it without --dedicated, or merge an adapter into it with"
            " --merge"
        )
    if config.problem_type not in (None, _KIND):
        raise UnsupportedModel(
            f"{loaded.path}: problem_type={config.problem_type!r} is not served, only {_KIND!r}"
        )
    return own_names(config, given)


def dedicated_manifest(manifest: Manifest, classes: tuple[str, ...]) -> Manifest:
    """Return the manifest of a model that answers by itself."""
    changes = {
        "dedicated": Dedicated(labels=classes),
        "max_rank": 0,
        "max_labels": len(classes),
    }
    return manifest.model_copy(update=changes)


def prove_dedicated(
    loaded: LoadedModel, bundle: Bundle, done: Callable[[int, int], None]
) -> tuple[Parity, float]:
    """Run the proof on an unproven dedicated bundle; return the report and tokens per second.

    `done(n, of)` is called after each step. The report says whether it passed.
    """
    manifest = bundle.manifest
    samples = random_samples(loaded, manifest)
    assert manifest.dedicated is not None, "others are proven with adapters"
    adapter = own_head("proof:own", manifest.dedicated.labels, manifest)
    reference = _ask(loaded, manifest, adapter, samples)
    done(1, _STEPS)
    runtime = OnnxRuntime(bundle, "cpu", slots=1)
    forward = Forward(bundle, runtime)
    members = [Member(adapter, runtime.write(1, adapter))]
    prepared = prepare(bundle, samples)
    mixed = answers_of(forward, prepared, [0] * len(samples), members)
    done(2, _STEPS)
    alone = [answers_of(forward, [one], [0], members).probabilities[0] for one in prepared]
    done(3, _STEPS)
    parity = compare([reference], mixed.probabilities, alone, list(mixed.embeddings))
    speed = tokens_per_second(forward, members, manifest.image)
    done(4, _STEPS)
    return parity.model_copy(update={"adapters": 0}), speed


def _ask(
    loaded: LoadedModel, manifest: Manifest, adapter: Adapter, samples: Sequence[Sample]
) -> Reference:
    """Return what the model answers in `transformers`, asked one by one."""
    hidden: list[torch.Tensor] = []
    encoder = loaded.model.get_submodule(manifest.encoder)
    hook = encoder.register_forward_hook(lambda _module, _inputs, output: hidden.append(output[0]))
    probabilities, embeddings = [], []
    try:
        with torch.inference_mode():
            for sample in samples:
                logits = loaded.model(**encode(loaded, manifest, sample)).logits
                probabilities.append(logits.softmax(-1)[0].numpy())
                embeddings.append(mean_state(hidden.pop()))
    finally:
        hook.remove()
    return Reference(adapter, tuple(range(len(samples))), probabilities, embeddings)
