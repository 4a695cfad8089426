"""Every wiring in torch: what a packed encoder gives is what `transformers` and `peft` give.

The export proves the same of the graph; here it is found without tracing one, for every kind of
config, and with adapters on every linear layer of the encoder.
"""

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor

from exporter.banked import Banks
from exporter.families.catalogue import family_of
from exporter.families.family import Assembled
from exporter.packed import Inputs
from tests.fakes.wirings import WIRINGS, make_model

LENGTHS = (5, 1, 11, 2, 9, 3, 4)
RANKS = (3, 1, 4)  # of the adapters; text i is adapter i % 3's
ROWS, TOKENS, BLOCK = 2, 24, 8
PLACES = ((0, 0), (0, 5), (0, 6), (0, 17), (1, 0), (1, 9), (1, 12))  # (row, first token) of a text


@dataclass(frozen=True, slots=True)
class Wired:
    """A packed encoder with banks around every layer, and the `peft` models of its adapters."""

    assembled: Assembled
    banks: Banks
    tuned: list[PeftModel]
    encoder: str  # attribute of the model that holds the encoder
    bank: list[Tensor]  # A and B of every target, alternating

    def alone(self, adapter: int, ids: Tensor, types: Tensor) -> Tensor:
        """Return `peft`'s last hidden states [tokens, hidden] of one text."""
        given: dict[str, Tensor] = {"input_ids": ids.unsqueeze(0)}
        if self.assembled.token_types:
            given["token_type_ids"] = types.unsqueeze(0)
        encoder = self.tuned[adapter].get_submodule(f"base_model.model.{self.encoder}")
        with torch.no_grad():
            hidden: Tensor = encoder(**given)[0][0]
        return hidden

    def packed(self, ids: list[Tensor], types: list[Tensor]) -> list[Tensor]:
        """Return the packed encoder's last hidden states [tokens, hidden] of each text."""
        grid: dict[str, Tensor] = {
            name: torch.full((ROWS, TOKENS), empty)
            for name, empty in {
                "ids": 0,
                "positions": 0,
                "texts": -1,
                "types": 0,
                "adapters": -1,
            }.items()
        }
        for number, (text, kinds, (row, start)) in enumerate(zip(ids, types, PLACES, strict=True)):
            where = (row, slice(start, start + len(text)))
            grid["ids"][where] = text
            grid["positions"][where] = torch.arange(len(text)) + self.assembled.position_offset
            grid["texts"][where] = number
            grid["types"][where] = kinds
            grid["adapters"][where] = number % len(RANKS)
        blocks = ROWS * TOKENS // BLOCK
        owners = torch.tensor([a for a, rank in enumerate(RANKS) for _ in range(rank)] + [-2])
        columns = torch.tensor([*range(1, 1 + sum(RANKS)), 0])
        self.banks.lora.begin(
            grid["adapters"], columns.expand(blocks, -1), owners.expand(blocks, -1), self.bank
        )
        inputs = Inputs(grid["ids"], grid["positions"], grid["texts"], grid["types"])
        with torch.no_grad():
            hidden = self.assembled.encoder(inputs)
        return [
            hidden[row, start : start + len(text)]
            for text, (row, start) in zip(ids, PLACES, strict=True)
        ]


def wire(wiring: str) -> Wired:
    model = make_model(wiring)
    family = family_of(model.config.model_type)
    paths = family.linears(model)
    tuned: list[PeftModel] = []
    for number, rank in enumerate(RANKS):
        config = LoraConfig(r=rank, lora_alpha=2 * rank + number, target_modules=list(paths))
        made = get_peft_model(copy.deepcopy(model), config).eval()
        assert isinstance(made, PeftModel)
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0.0, 0.3)
        tuned.append(made)
    banks = Banks(frozenset(paths))
    assembled = family.assemble(model, banks)
    bank: list[Tensor] = []
    for name in banks.names:
        layers: list[Any] = [
            made.get_submodule(f"base_model.model.{family.encoder}.{name}") for made in tuned
        ]
        a = [layer.lora_A["default"].weight.detach() for layer in layers]
        b = [
            layer.lora_B["default"].weight.detach().T * layer.scaling["default"] for layer in layers
        ]
        bank += [torch.cat([torch.zeros(1, x[0].shape[1]), *x]) for x in (a, b)]
    return Wired(assembled, banks, tuned, family.encoder, bank)


def random_texts(seed: int, kinds: bool) -> tuple[list[Tensor], list[Tensor]]:
    random = torch.Generator().manual_seed(seed)
    ids = [torch.randint(5, 40, (length,), generator=random) for length in LENGTHS]
    types = [torch.randint(0, 2 if kinds else 1, (n,), generator=random) for n in LENGTHS]
    return ids, types


@pytest.fixture(scope="module", params=WIRINGS)
def wired(request: pytest.FixtureRequest) -> Wired:
    return wire(str(request.param))


def test_a_packed_text_is_that_of_peft_alone(wired: Wired) -> None:
    ids, types = random_texts(1, wired.assembled.token_types)
    found = wired.packed(ids, types)
    for number, states in enumerate(found):
        expected = wired.alone(number % len(RANKS), ids[number], types[number])
        assert (states - expected).abs().max() < 2e-5 * expected.abs().max(), number


def test_a_text_does_not_move_by_one_bit_when_its_neighbours_change(wired: Wired) -> None:
    ids, types = random_texts(2, wired.assembled.token_types)
    before = wired.packed(ids, types)
    others, other_types = random_texts(3, wired.assembled.token_types)
    for kept in range(len(LENGTHS)):
        changed = [ids[i] if i == kept else others[i] for i in range(len(ids))]
        kinds = [types[i] if i == kept else other_types[i] for i in range(len(ids))]
        after = wired.packed(changed, kinds)
        assert torch.equal(before[kept], after[kept])
        assert not torch.equal(before[kept - 1], after[kept - 1])


def test_adapters_change_every_text_or_the_comparison_would_prove_nothing(wired: Wired) -> None:
    ids, types = random_texts(4, wired.assembled.token_types)
    for length, text, kinds in zip(LENGTHS, ids, types, strict=True):
        answers = [wired.alone(adapter, text, kinds) for adapter in range(len(RANKS))]
        assert (answers[0] - answers[1]).abs().max() > 1e-2, length


def test_a_text_as_long_as_the_model_takes_is_packed_as_well(wired: Wired) -> None:
    longest = wired.assembled.max_length
    random = torch.Generator().manual_seed(5)
    text = torch.randint(5, 40, (longest,), generator=random)
    zeros = torch.zeros_like(text)
    expected = wired.alone(0, text, zeros)
    room = longest + 7  # a row may be longer than any text
    ids, owners = torch.zeros(1, room, dtype=torch.int64), torch.full((1, room), -1)
    ids[0, 3 : 3 + longest], owners[0, 3 : 3 + longest] = text, 0
    positions = torch.full((1, room), wired.assembled.position_offset)
    positions[0, 3 : 3 + longest] += torch.arange(longest)
    columns = torch.tensor([[1, 2, 3]])
    wired.banks.lora.begin(owners, columns, torch.zeros_like(columns), wired.bank)
    with torch.no_grad():
        found = wired.assembled.encoder(Inputs(ids, positions, owners, torch.zeros_like(ids)))
    assert (found[0, 3 : 3 + longest] - expected).abs().max() < 2e-5 * expected.abs().max()
