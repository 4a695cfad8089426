"""The packed encoder: embeddings, then layers, for families whose texts meet in attention only."""

from collections.abc import Sequence

from torch import Tensor, nn

from exporter.packed import Inputs, same_text


class Embeddings(nn.Module):
    """Word, position and token-type embeddings added up, then what the family does to the sum.

    `positions` is None where positions are in the attention alone, `token_types` where they are no
    input. Row 0 of each of `always` is added to every token: token types that a family has but
    does not take. `then` are norm and projection, in the family's order.
    """

    def __init__(
        self,
        words: nn.Embedding,
        positions: nn.Embedding | None,
        token_types: nn.Embedding | None,
        then: Sequence[nn.Module],
        always: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.words = words
        self.positions = positions
        self.token_types = token_types
        self.then = nn.ModuleList(then)
        self.always = nn.ModuleList(always)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return [rows, tokens, hidden]."""
        x: Tensor = self.words(inputs.ids)
        if self.positions is not None:
            x = x + self.positions(inputs.positions)
        if self.token_types is not None:
            assert inputs.token_types is not None
            x = x + self.token_types(inputs.token_types)
        for each in self.always:
            assert isinstance(each, nn.Embedding)
            x = x + each.weight[0]
        for module in self.then:
            x = module(x)
        return x


def absolute_embeddings(
    module: nn.Module, then: Sequence[nn.Module], always: Sequence[nn.Module] = ()
) -> tuple[Embeddings, bool]:
    """Return the embeddings of a BERT-like module, and whether they take token types.

    A single token type is no input: its row is added to every token.
    """
    words, positions, types = (
        module.get_submodule(f"{name}_embeddings") for name in ("word", "position", "token_type")
    )
    assert isinstance(words, nn.Embedding)
    assert isinstance(positions, nn.Embedding)
    assert isinstance(types, nn.Embedding)
    takes = types.num_embeddings > 1
    fixed = always if takes else (*always, types)
    return Embeddings(words, positions, types if takes else None, then, fixed), takes


class PackedEncoder(nn.Module):
    """Embeddings, the layers, and where the family has one a final norm.

    `bias`, called with the number of tokens in a row, gives what is added to all attention scores,
    [heads, tokens, tokens].
    """

    def __init__(
        self,
        embeddings: Embeddings,
        layers: Sequence[nn.Module],
        *,
        bias: nn.Module | None = None,
        final_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.layers = nn.ModuleList(layers)
        self.bias = bias
        self.final_norm = final_norm

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the last hidden states [rows, tokens, hidden]."""
        x: Tensor = self.embeddings(inputs)
        visible = same_text(inputs.texts)
        bias = None if self.bias is None else self.bias(inputs.ids.shape[1])
        for layer in self.layers:
            x = layer(x, visible, bias)
        return x if self.final_norm is None else self.final_norm(x)
