"""Images: what becomes of a trained model, what mixed passes cost, and whether drift is seen.

python -m benchmarks.images [--quick]     (TENANTRY_DATA)
"""

import itertools
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from benchmarks import clothing
from benchmarks.adapters import random_adapters, save_folder, without_lora
from benchmarks.bundles import cache_folder
from benchmarks.clothing import Images, Indices, Part
from benchmarks.engine import Engine, chosen_provider
from benchmarks.monitoring.data import Population
from benchmarks.monitoring.windows import reference
from benchmarks.report import Bar, Report, Rows, arguments, publish
from benchmarks.rounds import Contestant, Rates, interleave, show, timed
from exporter.export import Request, export_bundle
from service.engine.adapter import Adapter, FloatArray, read_adapter, read_tensors
from service.engine.bundle import Bundle
from service.engine.images.preprocess import Preprocessor
from service.engine.pixels import ImageFigures, Pixels
from service.measures import accuracy

ADAPTERS = 32
RANK = 8
_IN_PASS = 4  # images
_LEVEL = 0.05
_TOLERANCE = 0.1
_WINDOW = 80  # images
_LABELS = 10  # of the random model

OURS = "banked, 32 adapters"
BARE = "no LoRA, the same 32 heads"
PEFT = "peft adapter_names, fp32"
TORCH = "transformers, no LoRA, fp32"


@dataclass(frozen=True, slots=True)
class Tenant:
    """What one tenant trained, and its photographs for the test."""

    name: str
    adapter: Adapter
    folder: Path
    test: Part


def exported(model: Path, name: str, *, quick: bool) -> Bundle:
    """Return the bundle of a checkpoint, made anew for each run."""
    folder = cache_folder() / f"{name}-bundle{'-quick' if quick else ''}"
    shutil.rmtree(folder, ignore_errors=True)
    show(f"exporting {name}")
    return export_bundle(
        Request(model=str(model), out=folder, targets=("query", "value"), exported_by="benchmark"),
        lambda *_: None,
    )


def tenants(bundle: Bundle, base: Path) -> list[Tenant]:
    """Train the two tenants' adapters and read them as uploads."""
    train, _, test = clothing.parts()
    asked = {"garment": (train, test), "worn": (train.as_groups(), test.as_groups())}
    found = []
    for name, (learnt, tested) in asked.items():
        folder = clothing.adapter(learnt, base / name)
        document = json.loads((folder / "adapter_config.json").read_text())
        tensors = read_tensors(folder / "adapter_model.safetensors")
        adapter = read_adapter(name, document, tensors, list(learnt.labels), bundle.manifest)
        found.append(Tenant(name, adapter, folder, tested))
    return found


@torch.inference_mode()
def by_peft(tenant: Tenant) -> FloatArray:
    """Return what `transformers` and `peft` answer to the test photographs, [n, labels]."""
    base = ViTForImageClassification.from_pretrained(
        clothing.backbone(), num_labels=len(tenant.test.labels), ignore_mismatched_sizes=True
    )
    model = PeftModel.from_pretrained(base, tenant.folder).eval()
    process = clothing.processor()
    pictures = [Image.fromarray(image) for image in tenant.test.images]
    pixels = process(pictures, return_tensors="pt")["pixel_values"]
    logits = torch.cat([model(pixel_values=piece).logits for piece in pixels.split(64)])
    found: FloatArray = logits.softmax(-1).numpy()
    return found


def answered(
    engine: Engine, pixels: Sequence[Pixels], numbers: Sequence[int]
) -> tuple[list[FloatArray], FloatArray]:
    """Return probabilities and embeddings of images in passes that mix the adapters."""
    probabilities: list[FloatArray] = []
    embeddings: list[FloatArray] = []
    for start in range(0, len(pixels), _IN_PASS):
        piece = slice(start, start + _IN_PASS)
        found = engine.answer(pixels[piece], numbers[piece])
        order = np.argsort(found.indices)
        assert len(order) == len(pixels[piece]), "the images did not fit one pass"
        for at in order:
            row = found.probabilities[at]
            assert row is not None, "a trained adapter gives finite numbers"
            probabilities.append(row)
            embeddings.append(found.embeddings[at])
    return probabilities, np.stack(embeddings)


def quality(bundle: Bundle, those: Sequence[Tenant], provider: str) -> Rows:
    """Serve every test photograph as a PNG, both tenants mixed, and compare with `peft`."""
    engine = Engine(bundle, [tenant.adapter for tenant in those], provider)
    preprocessor = Preprocessor(bundle)
    files = [clothing.png_of(image) for image in those[0].test.images]
    pixels = preprocessor.encode(files)
    mixed = [each for each in pixels for _ in those]
    numbers = list(range(len(those))) * len(pixels)
    probabilities, _ = answered(engine, mixed, numbers)
    rows = []
    for number, tenant in enumerate(those):
        ours = np.stack(probabilities[number :: len(those)])
        theirs = by_peft(tenant)
        truth = tenant.test.index
        rows.append(
            (
                tenant.name,
                f"{accuracy(ours.argmax(1), truth):.3f}",
                f"{accuracy(theirs.argmax(1), truth):.3f}",
                f"{(ours.argmax(1) == theirs.argmax(1)).mean():.2%}",
                f"{np.abs(ours - theirs).max():.1e}",
            )
        )
    columns = ("tenant", "accuracy", "peft's accuracy", "same label", "worst probability error")
    title = f"372 test photographs as PNG, {provider} ({engine.runtime.precision})"
    return Rows(title, columns, rows)


def random_vit(base: Path) -> Path:
    """Return a checkpoint of ViT-S/16's shape with random weights."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        intermediate_size=1536,
        num_labels=_LABELS,
    )
    folder = base / "vit-small"
    ViTForImageClassification(config).save_pretrained(folder)
    type(clothing.processor())().save_pretrained(folder)
    return folder


def speeds(model: Path, provider: str, rounds: int, *, quick: bool) -> tuple[Rates, str]:
    """Measure passes of four images, each of another adapter, against what stands beside them."""
    bundle = exported(model, "vit-small", quick=quick)
    manifest = bundle.manifest
    image = manifest.image
    assert image is not None
    adapters = random_adapters(manifest, ADAPTERS, RANK, labels=_LABELS)
    ours = Engine(bundle, adapters, provider)
    plain = Engine(bundle, [without_lora(adapter) for adapter in adapters], provider)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((_IN_PASS, image.channels, image.height, image.width))
    figures = ImageFigures(image.width, image.height, 0, 0.5, 0.1, 0)
    pixels = [Pixels(each.astype(np.float32), image.tokens, figures) for each in values]
    turns = [[(turn * _IN_PASS + i) % ADAPTERS for i in range(_IN_PASS)] for turn in range(8)]

    def passes(engine: Engine) -> Contestant:
        following = itertools.cycle(turns)
        return timed(lambda: len(engine.answer(pixels, next(following)).indices))

    show(f"loading {ADAPTERS} adapters into peft")
    tensor = torch.from_numpy(values.astype(np.float32))
    mixed, alone = _torch_models(model, adapters, bundle)
    following = itertools.cycle(turns)

    @torch.inference_mode()
    def by_adapter_names() -> int:
        names = [str(number) for number in next(following)]
        return len(mixed(pixel_values=tensor, adapter_names=names).logits)

    @torch.inference_mode()
    def by_transformers() -> int:
        return len(alone(pixel_values=tensor).logits)

    contestants = {
        OURS: passes(ours),
        BARE: passes(plain),
        PEFT: timed(by_adapter_names),
        TORCH: timed(by_transformers),
    }
    return interleave(contestants, rounds, title="four images"), ours.runtime.precision


def _torch_models(
    model: Path, adapters: Sequence[Adapter], bundle: Bundle
) -> tuple[PeftModel, ViTForImageClassification]:
    def loaded() -> ViTForImageClassification:
        found: ViTForImageClassification = ViTForImageClassification.from_pretrained(model)
        found.eval()
        return found

    with tempfile.TemporaryDirectory() as base:
        folders = [
            save_folder(adapter, bundle.manifest, Path(base) / str(number))
            for number, adapter in enumerate(adapters)
        ]
        mixed = PeftModel.from_pretrained(loaded(), folders[0], adapter_name="0")
        for number, folder in enumerate(folders[1:], 1):
            mixed.load_adapter(folder, adapter_name=str(number))
    return mixed.eval(), loaded()


def drift(bundle: Bundle, tenant: Tenant, provider: str, windows: int) -> Rows:
    """Draw windows of photographs that did not change, and of such that did; test each."""
    engine = Engine(bundle, [tenant.adapter], provider)
    preprocessor = Preprocessor(bundle)
    _, val, test = clothing.parts()

    def population(name: str, images: Images, index: Indices) -> Population:
        pixels = preprocessor.encode([clothing.png_of(image) for image in images])
        rows, embeddings = answered(engine, pixels, [0] * len(pixels))
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        probabilities = np.stack(rows).astype(np.float16)
        return Population(
            name,
            val.labels,
            (embeddings / norms).astype(np.float16),
            probabilities,
            probabilities.argmax(1).astype(np.int64),
            index,
            np.array([name] * len(index)),
        )

    images = np.concatenate([val.images, test.images])
    index = np.concatenate([val.index, test.index])
    order = np.random.default_rng(0).permutation(len(index))
    usual = population("usual", images[order], index[order])
    drawn = reference(usual, 400, 0)
    rest = drawn.rest
    kinds = {
        "as before": usual.taken(rest),
        "at half the brightness": population(
            "dark", clothing.darkened(images[order][rest]), index[order][rest]
        ),
        "out of focus": population(
            "blurred", clothing.blurred(images[order][rest]), index[order][rest]
        ),
    }
    rng = np.random.default_rng(1)
    found = []
    for name, kind in kinds.items():
        told = [
            drawn.assess(drawn.window(kind.taken(chosen)), _TOLERANCE)
            for chosen in (rng.choice(len(kind), _WINDOW, replace=False) for _ in range(windows))
        ]
        flagged = np.mean([one.pvalue is not None and one.pvalue <= _LEVEL for one in told])
        beyond = np.mean([one.effect.lower > 1 for one in told])
        effect = np.median([one.effect.value for one in told])
        right = accuracy(kind.class_index, kind.label_index)
        found.append((name, f"{right:.3f}", f"{flagged:.2f}", f"{beyond:.2f}", f"{effect:.2f}"))
    columns = ("photographs", "accuracy", f"p <= {_LEVEL}", "surely beyond tolerance", "effect")
    return Rows(f"{windows} windows of {_WINDOW} photographs each", columns, found)


def main() -> None:
    """Run the benchmark."""
    options = arguments("Images: quality, speed and drift.").parse_args()
    report = Report(
        "images",
        "Does an image classifier survive export and serving, and what does mixing cost?",
        {
            "quality": "a small ViT trained on clothing_small_32, two LoRA adapters by peft",
            "speed": "ViT-S/16 at 224 pixels, random weights; passes of four images, LoRA of rank"
            f" {RANK} on query and value, {ADAPTERS} adapters, heads of 10 labels",
        },
    )
    with tempfile.TemporaryDirectory() as base:
        bundle = exported(clothing.backbone(), "clothing", quick=options.quick)
        provider = chosen_provider(bundle, options.provider)
        report.workload = {**report.workload, "provider": provider}
        those = tenants(bundle, Path(base))
        report.tables.append(quality(bundle, those, "cpu"))
        if provider != "cpu":
            report.tables.append(quality(bundle, those, provider))
        report.tables.append(drift(bundle, those[0], provider, 5 if options.quick else 60))
        model = random_vit(Path(base))
        rates, precision = speeds(model, provider, 3 if options.quick else 30, quick=options.quick)
    rows = [
        (name, f"{rates.median(name):,.1f}", "" if name == OURS else str(rates.ratio(OURS, name)))
        for name in rates.by_round
    ]
    columns = ("four images a pass", "images/s", "banked / this (quartiles)")
    report.tables.append(Rows(f"ViT-S/16, {provider} ({precision})", columns, rows))
    report.bars = [
        Bar("banked / no LoRA at all", rates.ratio(OURS, BARE).median, 0.9),
        Bar(f"banked / {PEFT}", rates.ratio(OURS, PEFT).median, 1.0),
    ]
    report.measured = {"speed": rates.document()}
    publish(report, options)


if __name__ == "__main__":
    main()
