"""Answers about images are those of `peft`: adapters of many kinds, all in the same passes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from peft import PeftModel

from service.engine.adapter import Adapter
from service.engine.bundle import Bundle
from service.engine.errors import ProviderUnavailable
from service.engine.forward import Forward, Member
from service.engine.pixels import Pixels
from service.engine.providers import provider_named
from service.engine.runtime import OnnxRuntime
from tests.fakes.answering import answer_all
from tests.fakes.image_checkpoints import IMAGE_FAMILIES
from tests.fakes.tuned import Recipe, read_back
from tests.fakes.tuned_images import ask_peft_images, make_tuned_images, random_pixels
from tests.fixtures_bundles import BundleCache

pytestmark = pytest.mark.usefixtures("one_thread")

FOUND = 1e-5  # what fp32 gives on the CPU provider; a tenth of what is promised
BF16 = 5e-2

TRANSFORMER = ["query", "key", "value", "attention.output.dense"]
ALL = {
    "vit": [*TRANSFORMER, "intermediate.dense", "output.dense"],
    "deit": [*TRANSFORMER, "intermediate.dense", "output.dense"],
    "dinov2": [*TRANSFORMER, "fc1", "fc2"],
    "dinov2-gated": [*TRANSFORMER, "weights_in", "weights_out"],
    "dinov2_with_registers": [*TRANSFORMER, "fc1", "fc2"],
    "swin": [*TRANSFORMER, "intermediate.dense", "output.dense", "reduction"],
    "convnext": ["pwconv1", "pwconv2", "downsampling_layer.1"],
    "convnextv2": ["pwconv1", "pwconv2", "downsampling_layer.1"],
    "resnet": ["convolution"],
    "resnet-basic": ["convolution"],
}
SOME = {
    "convnext": ["pwconv2"],
    "convnextv2": ["pwconv1"],
    "resnet": ["layer.1.convolution", "shortcut.convolution"],
    "resnet-basic": ["layer.0.convolution"],
}


def recipes(family: str) -> list[Recipe]:
    """Return adapters of every kind that an upload may be."""
    whole, some = ALL[family], SOME.get(family, ["query", "value"])
    pattern = {some[0]: 11}
    return [
        Recipe(2, {"r": 8, "lora_alpha": 16, "target_modules": whole}),
        Recipe(77, {"r": 16, "lora_alpha": 4, "target_modules": some}),
        Recipe(3, {"r": 4, "lora_alpha": 16, "use_rslora": True, "target_modules": whole}),
        Recipe(5, {"r": 1, "lora_alpha": 1, "target_modules": some}),
        Recipe(
            9,
            {
                "r": 4,
                "lora_alpha": 8,
                "target_modules": whole,
                "rank_pattern": pattern,
                "alpha_pattern": {whole[-1]: 40},
            },
        ),
    ]


@dataclass(frozen=True, slots=True)
class House:
    """A family's bundle, and adapters in it beside the `peft` models they were saved from."""

    bundle: Bundle
    tuned: list[PeftModel]
    adapters: list[Adapter]

    def seat(self, provider: str) -> tuple[Forward, list[Member]]:
        runtime = OnnxRuntime(self.bundle, provider, len(self.adapters), threads=1)
        members = [Member(a, runtime.write(slot, a)) for slot, a in enumerate(self.adapters, 1)]
        return Forward(self.bundle, runtime), members

    def check(self, provider: str, images: Sequence[Pixels], tolerance: float) -> None:
        """Ask every image of every adapter, mixed."""
        forward, members = self.seat(provider)
        jobs = [(image, number) for image in images for number in range(len(self.tuned))]
        found = answer_all(forward, [i for i, _ in jobs], [n for _, n in jobs], members)
        for number, tuned in enumerate(self.tuned):
            mine = [i for i, (_, whose) in enumerate(jobs) if whose == number]
            expected = ask_peft_images(tuned, images, self.bundle.manifest)
            for i, (probabilities, embedding) in zip(mine, expected, strict=True):
                assert found[i][0].shape == probabilities.shape
                assert np.abs(found[i][0] - probabilities).max() <= tolerance
                error = np.abs(found[i][1] - embedding).max()
                assert error <= tolerance * np.abs(embedding).max()


@pytest.fixture(scope="module", params=IMAGE_FAMILIES)
def house(
    request: pytest.FixtureRequest,
    bundle_cache: BundleCache,
    tmp_path_factory: pytest.TempPathFactory,
) -> House:
    family = str(request.param)
    checkpoint, bundle = bundle_cache.checkpoint(family), bundle_cache.bundle(family)
    folder = tmp_path_factory.mktemp(family)
    made = recipes(family)
    tuned = [make_tuned_images(checkpoint, recipe, n) for n, recipe in enumerate(made)]
    adapters = [
        read_back(
            model,
            folder / str(n),
            bundle.manifest,
            str(n),
            [f"label {i}" for i in range(made[n].labels)],
        )
        for n, model in enumerate(tuned)
    ]
    return House(bundle, tuned, adapters)


def test_the_adapters_are_of_different_ranks_and_label_counts(house: House) -> None:
    assert {adapter.rank for adapter in house.adapters} == {1, 4, 8, 11, 16}
    assert {len(adapter.labels) for adapter in house.adapters} == {2, 3, 5, 9, 77}


def test_probabilities_and_embeddings_are_pefts(house: House) -> None:
    house.check("cpu", random_pixels(house.bundle.manifest, 5), FOUND)


def test_they_are_in_openvino_too(house: House) -> None:
    try:
        provider_named("openvino")
    except ProviderUnavailable as error:
        pytest.skip(str(error))
    forward, _ = house.seat("openvino")
    tolerance = {"fp32": FOUND, "bf16": BF16}[forward.runtime.precision]
    house.check("openvino", random_pixels(house.bundle.manifest, 2, seed=7), tolerance)


def test_adapters_change_answers_or_the_comparison_would_prove_nothing(house: House) -> None:
    forward, members = house.seat("cpu")
    image = random_pixels(house.bundle.manifest, 1)
    spread = [answer_all(forward, image, [number], members)[0][1] for number in range(len(members))]
    for one in range(len(spread)):
        for other in range(one):
            assert np.abs(spread[one] - spread[other]).max() > 100 * FOUND
