"""What setups are measured with: random inputs of a stated mix, or a person's own texts."""

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from service.engine.bundle import Bundle, Head, HeadStep, ImageInput
from service.engine.errors import UnreadableTexts
from service.engine.pixels import Pixels
from service.engine.tuning.plot import bars
from service.engine.tuning.setup import default_setup
from service.engine.tuning.texts import own_workload
from service.engine.tuning.trial import USABLE, Trial
from service.engine.tuning.workload import LENGTHS, random_workload, workload_of
from tests.fakes.manifests import BACKBONE, manifest_of

TEXTS = Bundle(Path("nowhere"), BACKBONE, manifest_of(), {})
IMAGE = ImageInput(channels=3, height=4, width=5, tokens=16)
IMAGES = Bundle(
    Path("nowhere"),
    BACKBONE,
    manifest_of().model_copy(update={"image": IMAGE, "task": "image"}),
    {},
)


def test_random_texts_have_the_stated_mix_of_lengths_and_are_the_same_each_time() -> None:
    work = random_workload(TEXTS, 2 * len(LENGTHS))
    longest = TEXTS.manifest.max_length
    assert sorted(map(len, work.inputs)) == sorted(2 * [min(n, longest) for n in LENGTHS])
    assert "on average" in work.about
    again = random_workload(TEXTS, 2 * len(LENGTHS))
    assert (again.inputs, again.numbers) == (work.inputs, work.numbers)


def test_random_pictures_are_of_the_size_that_the_graph_takes() -> None:
    work = random_workload(IMAGES, 3)
    assert work.tokens == 48
    for picture in work.inputs:
        assert isinstance(picture, Pixels)
        assert picture.values.shape == (3, 4, 5)
        assert picture.values.dtype == np.float32


def test_adapters_bring_every_module_that_the_checkpoint_did_not_hold() -> None:
    head = Head(
        pooling="first",
        steps=(
            HeadStep(kind="layer_norm", module="norm", in_features=16, out_features=16),
            HeadStep(kind="linear", module="classifier", in_features=16, bias=False),
        ),
        held=(),
        missing=("norm", "classifier"),
    )
    manifest = manifest_of().model_copy(update={"head": head})
    work = workload_of(Bundle(Path("nowhere"), BACKBONE, manifest, {}), [], "nothing")
    for adapter in work.adapters:
        assert set(adapter.head) == {"norm.weight", "norm.bias", "classifier.weight"}
        assert len(adapter.head["classifier.weight"]) == len(adapter.labels)
        assert set(adapter.deltas) == {target.name for target in manifest.targets}


def test_a_model_without_a_bank_gets_adapters_that_take_no_rows() -> None:
    manifest = manifest_of().model_copy(update={"targets": ()})
    work = workload_of(Bundle(Path("nowhere"), BACKBONE, manifest, {}), [], "nothing")
    assert {adapter.rank for adapter in work.adapters} == {0}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"", "holds no texts"),
        (b"{", "line 1 is not JSON"),
        (b'{"text": "a"}\n{"label": 1}\n', "line 2 is not an object"),
        (b'["text"]\n', "line 1 is not an object"),
        (b'{"text": ""}\n', "line 1 is not an object"),
    ],
)
def test_a_file_that_is_no_list_of_texts_is_refused_by_line(
    tmp_path: Path, lines: bytes, said: str
) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_bytes(lines)
    with pytest.raises(UnreadableTexts, match=said):
        own_workload(TEXTS, file, 10)


def test_a_file_that_is_not_there_and_texts_for_a_bundle_of_images_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(UnreadableTexts, match="No such file"):
        own_workload(TEXTS, tmp_path / "none.jsonl", 10)
    with pytest.raises(UnreadableTexts, match="the bundle takes images"):
        own_workload(IMAGES, tmp_path / "none.jsonl", 10)


def test_a_plot_is_well_formed_and_has_a_bar_for_each_trial_that_ran() -> None:
    best = default_setup("fp32", "cpu", 1)
    trials = [
        Trial(best, USABLE, 200.0),
        Trial(default_setup("bf16", "openvino", 1), "differs", 900.0),
        Trial(default_setup("fp32", "cuda", 1), "cuda: <not here>"),
    ]
    drawn = ET.fromstring(bars(trials, best, "a model & its <texts>"))
    space = "{http://www.w3.org/2000/svg}"
    fills = [each.get("fill") for each in drawn.iter(f"{space}rect")]
    assert len(fills) == 3
    assert fills[1] == "#b0b0b0", "the fastest differs from fp32"
    words = [each.text for each in drawn.iter(f"{space}text")]
    assert "a model & its <texts>" in words
    bold = [t.text for t in drawn.iter(f"{space}text") if t.get("font-weight") == "bold"]
    assert str(best) in bold
