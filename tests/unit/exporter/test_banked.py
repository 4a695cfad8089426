"""Banked layers: each image gets its own delta, as if `peft` computed it alone."""

import pytest
import torch
from torch import Tensor, nn

from exporter.banked import BankedConvolution, BankedLinear, Banks
from exporter.errors import UnsupportedModel

ROWS = 20  # of the bank
COLUMNS = torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0], [0, 0, 0, 0]])


def banks_for(sizes: tuple[int, int], seed: int = 0) -> list[Tensor]:
    torch.manual_seed(seed)
    banks = [torch.randn(ROWS, size) for size in sizes]
    for bank in banks:
        bank[0] = 0
    return banks


# kernel, stride, padding; a few channels gather windows, many project first
CONVOLUTIONS = [
    (3, 8, 7, 2, 3),
    (3, 8, (1, 5), (2, 1), (0, 2)),
    (16, 8, 3, 1, 1),
    (16, 8, 3, 2, 1),
    (16, 8, 3, 2, 0),
    (40, 8, 2, 2, 0),
    (40, 8, (3, 1), (2, 1), (1, 0)),
    (12, 20, 1, 1, 0),
    (12, 20, 1, 2, 0),
    (12, 20, 1, 1, 1),
]


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_each_image_gets_the_convolution_that_peft_would_add(
    shape: tuple[int, int, int, int, int],
) -> None:
    channels, out, kernel, stride, padding = shape
    torch.manual_seed(1)
    convolution = nn.Conv2d(channels, out, kernel, stride, padding)
    banks = Banks(frozenset({"here"}))
    layer = banks.wrap("here", convolution)
    assert isinstance(layer, BankedConvolution)
    a, b = banks_for((convolution.weight[0].numel(), out))
    x = torch.randn(3, channels, 9, 11)
    plain = layer(x)
    assert torch.equal(plain, convolution(x))
    banks.lora.begin_images(COLUMNS, [a, b])
    with torch.no_grad():
        found = layer(x)
        for image, columns in enumerate(COLUMNS):
            down = a[columns].reshape(-1, *convolution.weight.shape[1:])
            inner = nn.functional.conv2d(
                x[image : image + 1], down, None, convolution.stride, convolution.padding
            )
            delta = nn.functional.conv2d(inner, b[columns].T.reshape(out, -1, 1, 1))
            expected = plain[image] + delta[0]
            assert torch.allclose(found[image], expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_behind_a_convolution_norms_the_delta_too(affine: bool) -> None:
    torch.manual_seed(2)
    convolution, norm = nn.Conv2d(16, 8, 3, padding=1), nn.BatchNorm2d(8, affine=affine).eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 4.0)
    if affine:
        norm.weight.data.normal_()
        norm.bias.data.normal_()
    banks = Banks(frozenset({"here"}))
    layer = banks.wrap("here", convolution)
    x = torch.randn(3, 16, 6, 6)
    with torch.no_grad():
        assert torch.equal(layer(x, norm), norm(convolution(x)))
        banks.lora.begin_images(COLUMNS, banks_for((convolution.weight[0].numel(), 8)))
        expected = norm(layer(x))
        assert torch.allclose(layer(x, norm), expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("kernel", [1, 3])
def test_an_image_with_broken_weights_breaks_no_other(value: float, kernel: int) -> None:
    convolution = nn.Conv2d(16, 8, kernel, padding=kernel // 2)
    banks = Banks(frozenset({"here"}))
    layer = banks.wrap("here", convolution)
    a, b = banks_for((convolution.weight[0].numel(), 8))
    x = torch.randn(3, 16, 6, 6)
    banks.lora.begin_images(COLUMNS, [a, b])
    clean = layer(x)
    for bank in (a, b):
        bank[4, 1] = value
        broken = layer(x)
        assert not torch.isfinite(broken[1]).all()
        assert torch.equal(broken[[0, 2]], clean[[0, 2]])


def test_a_linear_layer_takes_windows_of_one_image_together() -> None:
    linear = nn.Linear(6, 5)
    banks = Banks(frozenset({"here"}))
    layer = banks.wrap("here", linear)
    assert isinstance(layer, BankedLinear)
    a, b = banks_for((6, 5))
    banks.lora.begin_images(COLUMNS, [a, b])
    x = torch.randn(3 * 4, 7, 6)  # four windows an image
    found = layer(x).reshape(3, 4, 7, 5)
    for image, columns in enumerate(COLUMNS):
        own = x.reshape(3, 4, 7, 6)[image]
        expected = linear(own) + own @ a[columns].T @ b[columns]
        assert torch.allclose(found[image], expected, atol=1e-4)


def test_what_is_no_target_is_left_alone() -> None:
    banks = Banks(frozenset({"there"}))
    convolution = nn.Conv2d(4, 4, 3, groups=4)
    assert banks.wrap("here", convolution) is convolution
    assert banks.names == []


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    ],
    ids=["grouped", "dilated", "named padding", "mirrored"],
)
def test_a_convolution_that_lora_cannot_change_is_refused_by_name(convolution: nn.Conv2d) -> None:
    with pytest.raises(UnsupportedModel, match="here is a convolution that LoRA cannot change"):
        Banks(frozenset({"here"})).wrap("here", convolution)
