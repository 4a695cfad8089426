"""Disentangled attention in packed rows: DeBERTa-v2 and -v3.

He et al. 2021, arXiv 2006.03654 and 2111.09543. Beside the content's own score q_i . k_j there are
two of content and distance, where r is the embedding of the bucket of i - j:

    score(i, j) = (q_i . k_j + q_i . K(r) + Q(r) . k_j) / sqrt(size * terms)

With `share_att_key`, K and Q are the very projections of the content, so an adapter on them changes
the scores of every distance. Nothing of that is the row's own: with K = W + B A, for the columns
that belong to token i,

    q_i . K(r) = q_i . (W r + b)  +  sum over columns c of (q_i . B_c) (A_c . r)

The first part is a table, the same for everybody. The second is as wide as the adapter's rank, and
its mask selects by token as everywhere else (`exporter/banked.py`), so it is exact for any mix.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exporter.banked import BankedLinear, Banks
from exporter.encoder import Embeddings
from exporter.layers import Activation, LayerParts, NamedLinear
from exporter.packed import Inputs, mix, same_text, split_heads
from exporter.relative import distances, log_buckets, skewed


@dataclass(frozen=True, slots=True)
class Relations:
    """The buckets of the distances in a row, and their embeddings; D is 2 * tokens - 1."""

    buckets: Tensor  # [D] int64
    embeddings: Tensor  # [D, hidden]


class RelationTable(nn.Module):
    """The embeddings of distances, and which bucket each distance falls into."""

    embeddings: Tensor  # [2 * span, hidden]
    behind: Tensor  # [2 * longest - 1], the bucket of each distance
    before: Tensor  # [2 * longest - 1], of each distance with its sign turned

    def __init__(self, embeddings: Tensor, buckets: int, reach: int, longest: int) -> None:
        """Take embeddings [2 * span, hidden] for texts of at most `longest` tokens.

        `buckets` is 0 where every distance up to `reach` has its own embedding.
        """
        super().__init__()
        self.longest = longest
        span = buckets or reach
        between = torch.arange(1 - longest, longest)
        found = log_buckets(between, buckets, reach) if buckets else between
        behind = torch.clamp(found + span, 0, 2 * span - 1)
        self.register_buffer("embeddings", embeddings.detach()[: 2 * span].contiguous())
        self.register_buffer("behind", behind)
        self.register_buffer("before", behind.flip(0))

    def forward(self, tokens: int) -> tuple[Relations, Relations]:
        """Return the relations of keys to a query, and of queries to a key, in increasing place."""
        places = distances(tokens, self.longest)
        found = [table.index_select(0, places) for table in (self.before, self.behind)]
        before, behind = (Relations(b, self.embeddings.index_select(0, b)) for b in found)
        return before, behind


class RelativeProjection(nn.Module):
    """Scores of content against distances, for one projection of the distances' embeddings."""

    table: Tensor  # [2 * span, out]

    def __init__(self, projection: nn.Module, embeddings: Tensor, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.banked = projection if isinstance(projection, BankedLinear) else None
        linear = projection.linear if isinstance(projection, BankedLinear) else projection
        with torch.no_grad():
            self.register_buffer("table", linear(embeddings).contiguous())

    def forward(self, x: Tensor, relations: Relations) -> Tensor:
        """Return [rows, heads, tokens, tokens] for x [rows, tokens, out].

        Entry (i, j) is the product of x at place i with the projected distance to place j.
        """
        picked = self.table.index_select(0, relations.buckets)
        table = picked.reshape(picked.shape[0], self.heads, -1).permute(1, 2, 0)
        scores = torch.matmul(split_heads(x, self.heads), table)
        if self.banked is not None and self.banked.lora.columns is not None:
            scores = scores + self._low_rank(self.banked, x, relations)
        return skewed(scores)

    def _low_rank(self, banked: BankedLinear, x: Tensor, relations: Relations) -> Tensor:
        """Return the adapters' part, [rows, heads, tokens, D]."""
        allowed = banked.lora.allowed
        assert allowed is not None
        rows, tokens, out = x.shape
        heads = self.heads
        a, b = banked.lora.rows(banked.index)
        blocks, width, _ = b.shape
        own = x.reshape(blocks, -1, heads, out // heads).transpose(1, 2)
        by_head = b.reshape(blocks, width, heads, out // heads).permute(0, 2, 3, 1)
        h = torch.matmul(own, by_head)  # [blocks, heads, tokens of the block, K]
        h = torch.where(allowed.unsqueeze(1), h, torch.zeros((), dtype=h.dtype))
        reached = torch.matmul(a, relations.embeddings.transpose(0, 1)).unsqueeze(1)
        scores = torch.matmul(h, reached).transpose(1, 2)
        return scores.reshape(rows, tokens, heads, -1).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class DisentangledParts:
    """A layer's modules; the projections of distances are None where the family has no such term.

    Where they are shared with the content's, they are the same entries as `layer.key` and `.query`.
    """

    layer: LayerParts
    position_key: NamedLinear | None
    position_query: NamedLinear | None
    terms: int  # of the score: its scale's divisor


class DisentangledLayer(nn.Module):
    """Disentangled attention, add, norm; feed-forward, add, norm."""

    def __init__(
        self,
        parts: DisentangledParts,
        banks: Banks,
        heads: int,
        activation: Activation,
        embeddings: Tensor,
    ) -> None:
        super().__init__()
        layer = parts.layer
        self.heads = heads
        self.activation = activation
        self.terms = parts.terms
        self.query = banks.wrap(*layer.query)
        self.key = banks.wrap(*layer.key)
        self.value = banks.wrap(*layer.value)

        def relative(named: NamedLinear | None) -> RelativeProjection | None:
            if named is None:
                return None
            shared = {layer.query[0]: self.query, layer.key[0]: self.key}
            projection = shared[named[0]] if named[0] in shared else banks.wrap(*named)
            return RelativeProjection(projection, embeddings, heads)

        self.position_key = relative(parts.position_key)
        self.position_query = relative(parts.position_query)
        self.out = banks.wrap(*layer.out)
        self.up = banks.wrap(*layer.up)
        self.down = banks.wrap(*layer.down)
        self.attention_norm = layer.attention_norm
        self.output_norm = layer.output_norm

    def forward(
        self, x: Tensor, visible: Tensor, relations: tuple[Relations, Relations] | None
    ) -> Tensor:
        """Return the next hidden states [rows, tokens, hidden]."""
        q, k, v = self.query(x), self.key(x), self.value(x)
        scale: float = (q.shape[-1] // self.heads * self.terms) ** -0.5
        q = q * scale
        by_head = split_heads(k, self.heads)
        scores = torch.matmul(split_heads(q, self.heads), by_head.transpose(2, 3))
        if relations is not None:
            before, behind = relations
            if self.position_key is not None:
                scores = scores + self.position_key(q, before)
            if self.position_query is not None:
                scores = scores + self.position_query(k * scale, behind).transpose(2, 3)
        x = self.attention_norm(x + self.out(mix(scores, split_heads(v, self.heads), visible)))
        normed: Tensor = self.output_norm(x + self.down(self.activation(self.up(x))))
        return normed


class TextConvolution(nn.Module):
    """A convolution over the tokens of each text: those of its neighbours count as nothing.

    To every place the places around it are laid beside, as zeros where they are another text's,
    which is what a text alone has beyond its ends; then it is one product.
    """

    weight: Tensor  # [kernel * hidden, hidden]

    def __init__(self, convolution: nn.Conv1d, activation: Activation, norm: nn.Module) -> None:
        super().__init__()
        self.kernel = convolution.kernel_size[0]
        weight = convolution.weight.detach().permute(2, 1, 0)
        self.register_buffer("weight", weight.reshape(-1, weight.shape[-1]).contiguous())
        assert convolution.bias is not None
        self.bias = convolution.bias
        self.activation = activation
        self.norm = norm

    def forward(self, x: Tensor, residual: Tensor, texts: Tensor) -> Tensor:
        """Return norm(residual + activation(convolution of x)), [rows, tokens, hidden]."""
        tokens = x.shape[1]
        side = self.kernel // 2
        around = nn.functional.pad(x, (0, 0, side, side))
        owners = nn.functional.pad(texts, (side, side), value=-2)
        zero = torch.zeros((), dtype=x.dtype)
        beside = [
            torch.where(
                (owners[:, at : at + tokens] == texts).unsqueeze(-1),
                around[:, at : at + tokens],
                zero,
            )
            for at in range(self.kernel)
        ]
        convolved = torch.matmul(torch.cat(beside, dim=-1), self.weight) + self.bias
        normed: Tensor = self.norm(residual + self.activation(convolved))
        return normed


class DisentangledEncoder(nn.Module):
    """Embeddings, then the layers; after the first one the convolution, where there is one."""

    def __init__(
        self,
        embeddings: Embeddings,
        layers: list[DisentangledLayer],
        relations: RelationTable | None,
        convolution: TextConvolution | None,
    ) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.layers = nn.ModuleList(layers)
        self.relations = relations
        self.convolution = convolution

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the last hidden states [rows, tokens, hidden]."""
        first: Tensor = self.embeddings(inputs)
        visible = same_text(inputs.texts)
        relations = None if self.relations is None else self.relations(inputs.ids.shape[1])
        x = first
        for number, layer in enumerate(self.layers):
            x = layer(x, visible, relations)
            if number == 0 and self.convolution is not None:
                x = self.convolution(first, x, inputs.texts)
        return x
