"""The proof: the exported graph against `transformers` and `peft`, on mixed batches.

A handful of random adapters, of different ranks, scalings, targets and label counts, is made and
saved by `peft` itself. Each answers its texts or images one by one in `transformers`; then all of
them go through the very code that will serve them (tokeniser, planner, feed, bank, graph, heads),
mixed into shared rows and passes. Probabilities must agree to the tolerance, and an answer must
not depend on who shares its pass. Images are proven from their pixels on, as they are behind the
preprocessor.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, TaskType, get_peft_model

from exporter.precision.answers import answers_of
from exporter.source import LoadedModel, loaded_for
from service.engine.adapter import Adapter, FloatArray, read_adapter, read_tensors
from service.engine.bundle import Bundle, ImageInput, Manifest, Parity
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.pixels import ImageFigures, Pixels, Prepared
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Tokeniser, Tokens
from service.measures import accuracy

TOLERANCE = 1e-4
_TEXTS = 64
_IMAGES = 32
_SEED = 20260101
_WORDS = (3, 5, 8, 13, 21, 34, 90, 160)  # lengths of the random texts, in tokens


Sample = str | FloatArray  # a text, or an image's pixels [channels, height, width]


@dataclass(frozen=True, slots=True)
class Reference:
    """One adapter made by `peft`, and its answers in `transformers`, text by text."""

    adapter: Adapter
    texts: tuple[int, ...]  # or images
    probabilities: list[FloatArray]  # per text [labels]
    embeddings: list[FloatArray]  # per text [hidden]


def random_samples(loaded: LoadedModel, manifest: Manifest) -> Sequence[Sample]:
    """Return random texts or images for a proof."""
    if manifest.image is None:
        return random_texts(loaded, _TEXTS, manifest.max_length)
    return random_images(manifest, _IMAGES)


def random_images(manifest: Manifest, count: int) -> list[FloatArray]:
    """Return pixels as a preprocessor leaves them: even colours, slopes and noise of any share."""
    image = manifest.image
    assert image is not None, "the bundle is one of images"
    rng = np.random.default_rng(_SEED)
    down = np.linspace(-1, 1, image.height, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, image.width, dtype=np.float32)
    images = []
    for _ in range(count):
        colour, tall, wide = rng.normal(size=(3, image.channels, 1, 1)).astype(np.float32)
        noise = rng.normal(size=(image.channels, image.height, image.width)).astype(np.float32)
        images.append(colour + tall * down + wide * right + np.float32(rng.random()) * noise)
    return images


def random_texts(loaded: LoadedModel, count: int, max_length: int) -> list[str]:
    """Return texts of random tokens of the vocabulary, of many lengths, one beyond the limit."""
    rng = np.random.default_rng(_SEED)
    tokenizer = loaded.tokenizer
    special = set(tokenizer.all_special_ids)
    ids = [i for i in range(len(tokenizer)) if i not in special]
    texts = []
    for number in range(count):
        words = min(_WORDS[number % len(_WORDS)], max_length)
        if number == count - 1:
            words = max_length + 8
        texts.append(str(tokenizer.decode(rng.choice(ids, size=words).tolist())))
    return texts


def adapter_configs(manifest: Manifest) -> list[dict[str, Any]]:
    """Return `LoraConfig` arguments, with `labels`, that cover what uploads may bring."""
    names = [target.name for target in manifest.targets]
    kind = names[0].rpartition(".")[2] if names else ""
    some = [name for name in names if name.rpartition(".")[2] == kind]
    most = manifest.max_rank
    half = max(1, most // 2)
    if len(some) == len(names):  # a ResNet's are all called alike
        some = names[: max(1, len(names) // 2)]
    configs: list[dict[str, Any]] = [
        {"r": most, "lora_alpha": 2 * most, "target_modules": names, "labels": 7},
        {"r": half, "lora_alpha": 16, "target_modules": names, "use_rslora": True, "labels": 2},
        {"r": 1, "lora_alpha": 4, "target_modules": some, "labels": 3},
        {
            "r": half,
            "lora_alpha": 8,
            "target_modules": names,
            "rank_pattern": {names[0]: most},
            "alpha_pattern": {names[-1]: 32},
            "labels": 77,
        },
    ]
    for config in configs:
        config["labels"] = min(config["labels"], manifest.max_labels)
    return configs if names else []


def make_reference(
    loaded: LoadedModel,
    manifest: Manifest,
    config: dict[str, Any],
    number: int,
    texts: Sequence[Sample],
    mine: tuple[int, ...],
) -> Reference:
    """Make one random adapter with `peft`, save it, read it as an upload, and ask it.

    `texts` may be images; `mine` are those that it is asked.
    """
    labels = int(config.pop("labels"))
    torch.manual_seed(_SEED + number)
    model, _ = loaded_for(loaded, labels)
    saved = sorted({m.split(".")[0] for m in (*manifest.head.missing, _last_module(manifest))})
    saved = [_top_module(model, name) for name in saved]
    task = TaskType.SEQ_CLS if manifest.task == "text" else None  # `peft` has none for images
    tuned = get_peft_model(
        model, LoraConfig(task_type=task, modules_to_save=saved, **config)
    ).eval()
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0.0, 0.05)
        elif "modules_to_save" in name and parameter.dim() == 2:
            parameter.data.normal_(0.0, 0.1)
    with tempfile.TemporaryDirectory() as folder:
        tuned.save_pretrained(folder)
        document = json.loads((Path(folder) / "adapter_config.json").read_text())
        tensors = read_tensors(Path(folder) / "adapter_model.safetensors")
    adapter = read_adapter(
        f"proof:{number}", document, tensors, [f"label {i}" for i in range(labels)], manifest
    )
    probabilities = []
    embeddings = []
    hidden: list[torch.Tensor] = []
    encoder = tuned.get_submodule(f"base_model.model.{manifest.encoder}")
    encoder.register_forward_hook(lambda _module, _inputs, output: hidden.append(output[0]))
    with torch.inference_mode():
        for index in mine:
            encoded = encode(loaded, manifest, texts[index])
            probabilities.append(tuned(**encoded).logits.softmax(-1)[0].numpy())
            embeddings.append(mean_state(hidden.pop()))
    return Reference(adapter, mine, probabilities, embeddings)


def encode(loaded: LoadedModel, manifest: Manifest, sample: Sample) -> Mapping[str, torch.Tensor]:
    """Return a text or an image as `transformers` takes it."""
    if not isinstance(sample, str):
        return {"pixel_values": torch.from_numpy(sample).unsqueeze(0)}
    encoded: Mapping[str, torch.Tensor] = loaded.tokenizer(
        sample, return_tensors="pt", truncation=True, max_length=manifest.max_length
    )
    return encoded


def mean_state(states: torch.Tensor) -> FloatArray:
    """Return [hidden], the mean of the last hidden states of one text or image.

    `states` is [1, tokens, hidden], or [1, hidden, height, width] of a convolutional network.
    """
    places = states if states.dim() == 3 else states.flatten(2).transpose(1, 2)
    mean: FloatArray = places[0].mean(0).numpy()
    return mean


def prepare(bundle: Bundle, samples: Sequence[Sample]) -> list[Prepared]:
    """Return texts or images as a pass takes them."""
    image = bundle.manifest.image
    if image is None:
        texts = [sample for sample in samples if isinstance(sample, str)]
        return list(Tokeniser(bundle).encode(texts))
    return [_pixels(sample, image) for sample in samples if not isinstance(sample, str)]


def _pixels(values: FloatArray, image: ImageInput) -> Pixels:
    nothing = float("nan")
    return Pixels(values, image.tokens, ImageFigures(0, 0, 0, nothing, nothing, 0))


def prove(
    loaded: LoadedModel, bundle: Bundle, done: Callable[[int, int], None]
) -> tuple[Parity, float]:
    """Run the proof on an unproven bundle; return the report and tokens per second on the CPU.

    `done(n, of)` is called after each step. The report says whether it passed; raises nothing of
    its own.
    """
    manifest = bundle.manifest
    texts = random_samples(loaded, manifest)
    configs = adapter_configs(manifest)
    references = []
    for number, config in enumerate(configs):
        mine = tuple(range(number, len(texts), len(configs)))
        references.append(make_reference(loaded, manifest, config, number, texts, mine))
        done(number + 1, len(configs) + 3)
    runtime = OnnxRuntime(bundle, "cpu", slots=len(references))
    forward = Forward(bundle, runtime)
    members = [
        Member(reference.adapter, runtime.write(slot, reference.adapter))
        for slot, reference in enumerate(references, 1)
    ]
    numbers = [index % len(configs) for index in range(len(texts))]
    tokens = prepare(bundle, texts)
    mixed = answers_of(forward, tokens, numbers, members)
    done(len(configs) + 1, len(configs) + 3)
    alone = [
        answers_of(forward, [text], [0], [members[number]]).probabilities[0]
        for text, number in zip(tokens, numbers, strict=True)
    ]
    done(len(configs) + 2, len(configs) + 3)
    parity = compare(references, mixed.probabilities, alone, list(mixed.embeddings))
    speed = tokens_per_second(forward, members, manifest.image)
    done(len(configs) + 3, len(configs) + 3)
    return parity, speed


def tokens_per_second(
    forward: Forward, members: Sequence[Member], image: ImageInput | None = None
) -> float:
    """Return the speed of full passes that mix the members, median of seven."""
    shape = max(forward.runtime.grid.by_row[0], key=lambda s: s.capacity)
    sample = _plain_sample(image, shape.tokens)
    count = shape.capacity // len(sample)
    tokens = [sample] * count
    numbers = [i % len(members) for i in range(count)]
    planned = plan([len(sample)] * count, numbers, forward.runtime.grid, len(members))
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        forward.run(planned, tokens, numbers, members)
        seconds.append(time.perf_counter() - start)
    return float(shape.capacity / np.median(seconds[1:]))


def _plain_sample(image: ImageInput | None, longest: int) -> Prepared:
    """Return a short text, or a black image."""
    if image is not None:
        size = (image.channels, image.height, image.width)
        return _pixels(np.zeros(size, np.float32), image)
    return Tokens([1] * min(16, longest), None, False, 0)


def compare(
    references: Sequence[Reference],
    mixed: Sequence[FloatArray],
    alone: Sequence[FloatArray],
    embeddings: Sequence[FloatArray],
) -> Parity:
    """Return the report: what the graph answered, mixed and alone, against the references."""
    errors = []
    embedding_errors = []
    found = []
    expected = []
    for reference in references:
        for index, wanted, embedding in zip(
            reference.texts, reference.probabilities, reference.embeddings, strict=True
        ):
            errors.append(np.abs(mixed[index] - wanted).max())
            scale = np.abs(embedding).max()
            embedding_errors.append(np.abs(embeddings[index] - embedding).max() / scale)
            found.append(int(mixed[index].argmax()))
            expected.append(int(wanted.argmax()))
    neighbour_errors = [np.abs(a - m).max() for a, m in zip(alone, mixed, strict=True)]
    # numpy's max() is NaN where anything is; Python's may pass over it
    worst = [float(np.max(each)) for each in (errors, embedding_errors, neighbour_errors)]
    return Parity(
        passed=all(error <= TOLERANCE for error in worst),
        texts=len(errors),
        adapters=len(references),
        max_probability_error=worst[0],
        mean_probability_error=float(np.mean(errors)),
        label_agreement=accuracy(np.array(found), np.array(expected)),
        max_embedding_error=worst[1],
        max_neighbour_error=worst[2],
        tolerance=TOLERANCE,
    )


def _last_module(manifest: Manifest) -> str:
    return manifest.head.steps[-1].module


def _top_module(model: torch.nn.Module, name: str) -> str:
    """Return the name by which `peft` saves a head module: `classifier`, `pooler`."""
    prefix: str = model.base_model_prefix  # type: ignore[assignment]
    if name != prefix:
        return name
    return "pooler"
