"""`int8-static`: linear layers in int8, with scales that were fitted to real inputs beforehand.

A quantised layer is, in ONNX's QDQ form that providers fuse,

    q = clip(round((x - d) / s / step) + zero, 0, 255)        uint8, one step for the whole layer
    y = (q - zero) * step  @  W'                              W' int8, one scale an output channel

with W' = diag(s) W, and d @ W in the bias. The scales s of the input's channels move what is hard
to round from activations, which have outliers, into weights (SmoothQuant, Xiao et al. 2023, arXiv
2211.10438): s = max|x - d|^alpha / max|W|^(1 - alpha). The middles d of the channels' ranges make
what is left symmetric (Outlier Suppression+, Wei et al. 2023, arXiv 2304.09145). For each layer
alpha, d and the clipping of the range are those of the least error of the layer's output over the
calibration inputs; the mean of what error is left is taken off the bias (Nagel et al. 2019, arXiv
1906.04721).

Only products with constant matrices are quantised. LoRA's, attention's, softmax, norms and pooling
stay in float. Scales are constants, so that no text's numbers reach another's.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from onnx import helper

from exporter.precision.linears import Graph, Linear, bias_of
from service.engine.adapter import FloatArray

_LEVELS = 255
_WEIGHT_MAX = 127
_ROWS = 1024  # tokens that candidates are compared on
_SMALLEST = 1e-5  # a channel that is always 0 has no scale of its own
_SEED = 20260101


@dataclass(frozen=True, slots=True)
class Search:
    """Which roundings are compared."""

    alphas: tuple[float, ...] = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # 0: no smoothing
    clips: tuple[float, ...] = (0.9, 1.0, 1.15, 1.3)  # of the range that was seen
    centred: bool = True  # whether channels may be moved to the middle of their range
    corrected: bool = True  # whether the mean error is taken off the bias


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest that each channel was."""

    low: FloatArray  # [in]
    high: FloatArray  # [in]

    def middle(self) -> FloatArray:
        """Return the middle of each channel's range."""
        found: FloatArray = (self.low + self.high) / 2
        return found


@dataclass(frozen=True, slots=True)
class Seen:
    """What reached a layer's input over the calibration set."""

    bounds: Bounds  # of all tokens
    half: Bounds  # of half of the passes
    rows: FloatArray  # [tokens, in], a sample of the other half


@dataclass(frozen=True, slots=True)
class Rounding:
    """How one input is rounded, and what its layers' weights become."""

    middle: FloatArray  # [in]
    scale: FloatArray  # [in]
    step: np.float32
    zero: int
    weight: FloatArray  # [in, out], whole numbers
    weight_scale: FloatArray  # [out]
    correction: FloatArray  # [out], to be added to the bias
    error: float  # of the layer's output, relative, root mean square


def quantise_static(
    graph: Graph, inputs: Mapping[str, Seen], search: Search = Search()
) -> dict[str, float]:
    """Quantise every linear layer of the graph in place; return the error of each input's layers.

    `inputs` holds what reached the layers, by the name of the value. Errors are relative root mean
    squares of the layers' outputs.
    """
    by_input: dict[str, list[Linear]] = {}
    for linear in graph.linears():
        by_input.setdefault(linear.input, []).append(linear)
    errors = {}
    for name, linears in by_input.items():
        weight = np.concatenate([linear.weight for linear in linears], axis=1)
        rounding = best_rounding(inputs[name], weight, search)
        errors[name] = rounding.error
        rounded = _write_input(graph, name, linears[0], rounding)
        start = 0
        for linear in linears:
            stop = start + linear.weight.shape[1]
            _write_layer(graph, linear, rounded, rounding, slice(start, stop))
            start = stop
    graph.drop_unused()
    return errors


def best_rounding(seen: Seen, weight: FloatArray, search: Search = Search()) -> Rounding:
    """Return the rounding of least output error for a weight [in, out].

    Candidates take the bounds of one half of the passes and are compared on the other. On their
    own tokens those would win that follow each channel's range to the last, and clip the next text.
    """
    x = seen.rows
    if len(x) > _ROWS:
        x = x[np.random.default_rng(_SEED).choice(len(x), _ROWS, replace=False)]
    wanted = x @ weight
    candidates = list(itertools.product((False, True), search.alphas, search.clips))
    if not search.centred:
        candidates = [each for each in candidates if not each[0]]
    errors = [_rounding(x, weight, wanted, seen.half, *each).error for each in candidates]
    chosen = int(np.argmin(errors))
    best = _rounding(x, weight, wanted, seen.bounds, *candidates[chosen])
    correction = best.correction if search.corrected else best.middle @ weight
    return replace(best, correction=correction, error=errors[chosen])


def _rounding(
    x: FloatArray,
    weight: FloatArray,
    wanted: FloatArray,
    bounds: Bounds,
    centred: bool,
    alpha: float,
    clip: float,
) -> Rounding:
    middle = bounds.middle() if centred else np.zeros_like(bounds.low)
    low, high = bounds.low - middle, bounds.high - middle
    scale = _smoothing(np.maximum(np.abs(low), np.abs(high)), np.abs(weight).max(axis=1), alpha)
    smooth = weight * scale[:, None]
    weight_scale = np.maximum(np.abs(smooth).max(axis=0) / _WEIGHT_MAX, 1e-12)
    whole = np.clip(np.round(smooth / weight_scale), -_WEIGHT_MAX, _WEIGHT_MAX)
    least, most = min(0.0, float((low / scale).min())), max(0.0, float((high / scale).max()))
    step = np.float32(max(clip * (most - least), 1e-12) / _LEVELS)
    zero = int(np.clip(np.round(-clip * least / step), 0, _LEVELS))
    q = np.clip(np.round((x - middle) / scale / step) + zero, 0, _LEVELS)
    shift = middle @ weight
    off = ((q - zero) * step) @ (whole * weight_scale) + shift - wanted
    mean = off.mean(axis=0)
    error = np.square(off - mean).mean() / max(float(np.square(wanted).mean()), 1e-30)
    return Rounding(
        middle=middle,
        scale=scale,
        step=step,
        zero=zero,
        weight=whole,
        weight_scale=weight_scale.astype(np.float32),
        correction=(shift - mean).astype(np.float32),
        error=float(np.sqrt(error)),
    )


def _smoothing(x_max: FloatArray, weight_max: FloatArray, alpha: float) -> FloatArray:
    """Return the scale of each input channel, of geometric mean 1."""
    if alpha == 0.0:
        return np.ones_like(x_max)
    x_max, weight_max = np.maximum(x_max, _SMALLEST), np.maximum(weight_max, _SMALLEST)
    scale = x_max**alpha / weight_max ** (1 - alpha)
    found: FloatArray = (scale / np.exp(np.log(scale).mean())).astype(np.float32)
    return found


def _write_input(graph: Graph, name: str, first: Linear, rounding: Rounding) -> str:
    """Insert what rounds the input before its first layer; return the rounded value's name."""
    inverse = (1 / rounding.scale).astype(np.float32)
    step = graph.add_constant(f"{name}.step", np.array(rounding.step))
    zero = graph.add_constant(f"{name}.zero", np.array(rounding.zero, dtype=np.uint8))
    made = []
    source = name
    if (rounding.scale != 1).any():
        factor = graph.add_constant(f"{name}.factor", inverse)
        made.append(helper.make_node("Mul", [source, factor], [f"{name}.smooth"]))
        source = f"{name}.smooth"
    if (rounding.middle != 0).any():
        offset = graph.add_constant(f"{name}.offset", -rounding.middle * inverse)
        made.append(helper.make_node("Add", [source, offset], [f"{name}.centred"]))
        source = f"{name}.centred"
    made.append(helper.make_node("QuantizeLinear", [source, step, zero], [f"{name}.q"]))
    made.append(
        helper.make_node("DequantizeLinear", [f"{name}.q", step, zero], [f"{name}.rounded"])
    )
    graph.insert_before(first.node, made)
    return f"{name}.rounded"


def _write_layer(
    graph: Graph, linear: Linear, rounded: str, rounding: Rounding, part: slice
) -> None:
    name = linear.node.output[0]
    bias = bias_of(graph, linear)
    scale = rounding.weight_scale[part]
    constants: Sequence[str] = (
        graph.add_constant(f"{name}.weight.q", rounding.weight[:, part].astype(np.int8)),
        graph.add_constant(f"{name}.weight.scale", scale),
        graph.add_constant(f"{name}.weight.zero", np.zeros(len(scale), dtype=np.int8)),
    )
    weight = f"{name}.weight.rounded"
    graph.insert_before(
        linear.node, [helper.make_node("DequantizeLinear", constants, [weight], axis=1)]
    )
    linear.node.input[0], linear.node.input[1] = rounded, weight
    correction = rounding.correction[part]
    if bias is not None:
        addition, value = bias
        at = 1 if addition.input[0] == name else 0
        addition.input[at] = graph.add_constant(f"{name}.bias", value + correction)
        return
    for consumer in graph.consumers(name):
        for at, each in enumerate(consumer.input):
            if each == name:
                consumer.input[at] = f"{name}.corrected"
    held = graph.add_constant(f"{name}.correction", correction)
    graph.insert_after(linear.node, helper.make_node("Add", [name, held], [f"{name}.corrected"]))
