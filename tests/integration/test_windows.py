"""Long texts are answered as a loop over windows in `transformers` and `peft` answers them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from service.batching.jobs import pieces_of
from service.engine.bundle import Bundle
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Input, Text, Tokeniser, Windowed
from service.engine.windows import Windows
from tests.fakes.tuned import HEADS, Recipe, make_tuned, read_back
from tests.fixtures_bundles import BundleCache

pytestmark = pytest.mark.usefixtures("one_thread")

PROMISED = 1e-4
WINDOWS = Windows(32, 8)

TEXTS: tuple[Input, ...] = (
    "please send the parcel back to the warehouse before friday " * 150,
    "short",
    "my card was charged twice and nobody answers the telephone " * 25,
    "what a wonderful crew " * 90,
)
PAIRS: tuple[Input, ...] = (
    ("is there a discount", "the leaves turn yellow although i water them every week " * 30),
    ("the leaves turn yellow although i water them every week " * 30, "short"),
)
TARGETS = {"bert": "query", "roberta": "query", "distilbert": "q_lin", "modernbert": "Wqkv"}

# From the pooled state [1, hidden] to the logits, by the family's own modules.
Head = Callable[[Any, torch.Tensor], torch.Tensor]
OWN_HEADS: dict[str, Head] = {
    "bert": lambda m, x: m.classifier(m.bert.pooler(x.unsqueeze(1))),
    "roberta": lambda m, x: m.classifier(x.unsqueeze(1)),
    "distilbert": lambda m, x: m.classifier(torch.relu(m.pre_classifier(x))),
    "modernbert": lambda m, x: m.classifier(m.drop(m.head(x))),
}


def loop(
    tuned: PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    bundle: Bundle,
    family: str,
    text: Input,
) -> tuple[Any, Any, int]:
    """Return probabilities [labels], embedding [hidden] and how many windows there were."""
    manifest = bundle.manifest
    first, *pair = (text,) if isinstance(text, str) else text
    cuts: str | bool = True
    if pair:
        cuts = "only_first" if len(first) > len(pair[0]) else "only_second"
    encoded = tokenizer(
        [first],
        *([half] for half in pair),
        truncation=cuts,
        max_length=manifest.max_length,
        stride=WINDOWS.overlap,
        return_overflowing_tokens=True,
        return_token_type_ids=manifest.token_types,
    )
    states, means, lengths = [], [], []
    encoder = tuned.get_submodule(f"base_model.model.{manifest.encoder}")
    names = ("input_ids", "token_type_ids") if manifest.token_types else ("input_ids",)
    with torch.inference_mode():
        for number in range(min(len(encoded["input_ids"]), WINDOWS.most)):
            inputs = {name: torch.tensor([encoded[name][number]]) for name in names}
            hidden = encoder(**inputs)[0][0]  # [tokens, hidden]
            means.append(hidden.mean(0))
            states.append(hidden[0] if manifest.head.pooling == "first" else hidden.mean(0))
            lengths.append(len(hidden))
        share = torch.tensor(lengths, dtype=torch.float32) / sum(lengths)
        stacked = torch.stack(states)
        pooled = stacked.mean(0) if manifest.head.pooling == "first" else share @ stacked
        logits = OWN_HEADS[family](tuned.base_model.model, pooled.unsqueeze(0))
        embedding = share @ torch.stack(means)
    return logits[0].softmax(-1).numpy(), embedding.numpy(), len(lengths)


def answered(forward: Forward, text: Text, member: Member) -> tuple[Any, Any]:
    """Return what the engine gives for one text, each window in a pass of its own."""
    pooled, embeddings = [], []
    pieces = pieces_of(text)
    for piece in pieces:
        planned = plan([len(piece)], [0], forward.runtime.grid, 1)
        found = forward.run(planned, [piece], [0], [member])
        if not isinstance(text, Windowed):
            return found.probabilities[0], found.embeddings[0]
        assert found.probabilities[0] is not None
        assert len(found.probabilities[0]) == 0, "a window has no answer of its own"
        pooled.append(found.pooled[0].copy())
        embeddings.append(found.embeddings[0].copy())
    lengths = list(map(len, pieces))
    return forward.conclude(member, np.stack(pooled), np.stack(embeddings), lengths)


@pytest.mark.parametrize("family", sorted(OWN_HEADS))
def test_a_long_text_is_answered_as_a_loop_over_its_windows(
    family: str, bundle_of: Callable[[str], Bundle], bundle_cache: BundleCache, tmp_path: Path
) -> None:
    bundle = bundle_of(family)
    checkpoint = bundle_cache.checkpoint(family)
    recipe = Recipe(
        5, {"r": 4, "lora_alpha": 8, "target_modules": [TARGETS[family]],
            "modules_to_save": list(HEADS[family])},
    )  # fmt: skip
    tuned = make_tuned(checkpoint, recipe, seed=3)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    names = [f"label {number}" for number in range(5)]
    adapter = read_back(tuned, tmp_path, bundle.manifest, "long", names)
    runtime = OnnxRuntime(bundle, "cpu", slots=1, threads=1)
    forward = Forward(bundle, runtime)
    member = Member(adapter, runtime.write(1, adapter))
    texts = [*TEXTS, *PAIRS]
    (tokens,) = Tokeniser(bundle).encode_windows(texts, [WINDOWS])
    counts = []
    for text, own in zip(texts, tokens, strict=True):
        expected, embedding, count = loop(tuned, tokenizer, bundle, family, text)
        row, mean = answered(forward, own, member)
        counts.append(count)
        assert len(pieces_of(own)) == count
        np.testing.assert_allclose(row, expected, atol=PROMISED)
        np.testing.assert_allclose(mean, embedding, atol=PROMISED * np.abs(embedding).max())
    assert counts[1] == 1
    assert all(count > 1 for count in (*counts[:1], *counts[2:]))
    assert counts[0] == WINDOWS.most
    assert tokens[0].truncated


def test_the_windows_change_the_answer(
    bundle_of: Callable[[str], Bundle], bundle_cache: BundleCache, tmp_path: Path
) -> None:
    bundle = bundle_of("bert")
    recipe = Recipe(
        3, {"r": 4, "target_modules": ["query"], "modules_to_save": list(HEADS["bert"])}
    )
    tuned = make_tuned(bundle_cache.checkpoint("bert"), recipe)
    adapter = read_back(tuned, tmp_path, bundle.manifest, "cut", ["a", "b", "c"])
    runtime = OnnxRuntime(bundle, "cpu", slots=1, threads=1)
    forward = Forward(bundle, runtime)
    member = Member(adapter, runtime.write(1, adapter))
    long = "please send it. " * 60 + "my card was charged twice " * 60
    ((windowed,), (cut,)) = Tokeniser(bundle).encode_windows([long], [WINDOWS, None])
    rows = [answered(forward, text, member)[0] for text in (windowed, cut)]
    assert np.abs(rows[0] - rows[1]).max() > 1e-3
