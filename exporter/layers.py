"""Transformer layers around a checkpoint's own modules, post-norm and pre-norm.

The weights are the checkpoint's; only the wiring is ours, so that attention selects by text and
every linear layer can be banked. Where a family keeps its modules, `LayerPaths` says.
"""

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, replace

from torch import Tensor, nn

from exporter.banked import Banks
from exporter.packed import attend, split_heads

Activation = Callable[[Tensor], Tensor]
NamedLinear = tuple[str, nn.Linear]  # its path inside the encoder, as `peft` names it


def named_linear(prefix: str, module: nn.Module, path: str) -> NamedLinear:
    """Return the linear layer at `path` inside a module, and its path inside the encoder."""
    linear = module.get_submodule(path)
    assert isinstance(linear, nn.Linear), path
    return f"{prefix}.{path}" if prefix else path, linear


@dataclass(frozen=True, slots=True)
class LayerPaths:
    """Where one layer of a family keeps its modules."""

    query: str
    key: str
    value: str
    out: str
    up: str
    down: str
    attention_norm: str
    output_norm: str

    @property
    def linears(self) -> tuple[str, ...]:
        """Return the paths of the linear layers, in order of execution."""
        return astuple(self)[:6]

    @property
    def attention(self) -> tuple[str, ...]:
        """Return the paths of the attention's linear layers: the default targets."""
        return astuple(self)[:4]

    def with_norms(self, attention: str, output: str) -> "LayerPaths":
        """Return the same layer with its norms elsewhere."""
        return replace(self, attention_norm=attention, output_norm=output)

    def unpack(self, prefix: str, layer: nn.Module) -> "LayerParts":
        """Return the modules of a layer that lies at `prefix` inside the encoder."""
        query, key, value, out, up, down = (
            named_linear(prefix, layer, path) for path in self.linears
        )
        return LayerParts(
            query,
            key,
            value,
            out,
            up,
            down,
            attention_norm=layer.get_submodule(self.attention_norm),
            output_norm=layer.get_submodule(self.output_norm),
        )


@dataclass(frozen=True, slots=True)
class LayerParts:
    """The checkpoint's modules for one layer, and the paths that `peft` gives them."""

    query: NamedLinear
    key: NamedLinear
    value: NamedLinear
    out: NamedLinear
    up: NamedLinear
    down: NamedLinear
    attention_norm: nn.Module
    output_norm: nn.Module


class PostNormLayer(nn.Module):
    """Attention, add, norm; feed-forward, add, norm (Devlin et al. 2019, arXiv 1810.04805)."""

    def __init__(self, parts: LayerParts, banks: Banks, heads: int, activation: Activation) -> None:
        super().__init__()
        self.heads = heads
        self.activation = activation
        self.query = banks.wrap(*parts.query)
        self.key = banks.wrap(*parts.key)
        self.value = banks.wrap(*parts.value)
        self.out = banks.wrap(*parts.out)
        self.up = banks.wrap(*parts.up)
        self.down = banks.wrap(*parts.down)
        self.attention_norm = parts.attention_norm
        self.output_norm = parts.output_norm

    def attention(self, x: Tensor, visible: Tensor, bias: Tensor | None) -> Tensor:
        """Return what the attention adds to x [rows, tokens, hidden]."""
        q, k, v = (split_heads(f(x), self.heads) for f in (self.query, self.key, self.value))
        mixed: Tensor = self.out(attend(q, k, v, visible, bias))
        return mixed

    def feed_forward(self, x: Tensor) -> Tensor:
        """Return what the feed-forward part adds to x [rows, tokens, hidden]."""
        y: Tensor = self.down(self.activation(self.up(x)))
        return y

    def forward(self, x: Tensor, visible: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the next hidden states [rows, tokens, hidden]."""
        x = self.attention_norm(x + self.attention(x, visible, bias))
        normed: Tensor = self.output_norm(x + self.feed_forward(x))
        return normed


class PreNormLayer(PostNormLayer):
    """Norm, attention, add; norm, feed-forward, add (Xiong et al. 2020, arXiv 2002.04745)."""

    def forward(self, x: Tensor, visible: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the next hidden states [rows, tokens, hidden]."""
        x = x + self.attention(self.attention_norm(x), visible, bias)
        return x + self.feed_forward(self.output_norm(x))


def linears_of(prefix: str, count: int, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths of so many numbered layers' linear layers, in order of execution."""
    return tuple(f"{prefix}.{i}.{path}" for i in range(count) for path in paths)


def layers_of(
    prefix: str,
    modules: Iterable[nn.Module],
    paths: LayerPaths,
    banks: Banks,
    heads: int,
    activation: Activation,
    kind: type[PostNormLayer] = PostNormLayer,
) -> list[nn.Module]:
    """Return packed layers for the numbered modules below `prefix`."""
    return [
        kind(paths.unpack(f"{prefix}.{i}", module), banks, heads, activation)
        for i, module in enumerate(modules)
    ]
