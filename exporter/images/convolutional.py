"""Convolutional networks: ConvNeXt's blocks and ResNet's."""

from collections.abc import Sequence

from torch import Tensor, nn

from exporter.banked import BankedConvolution


class ConvNextBlock(nn.Module):
    """Depthwise convolution, norm, up, activation, down, scale, add (Liu et al. 2022).

    arXiv 2201.03545; `responses` is what the second version has behind the activation (Woo et al.
    2023, arXiv 2301.00808), `scale` what the first has at the end.
    """

    def __init__(
        self,
        depthwise: nn.Module,
        norm: nn.Module,
        up: nn.Module,
        activation: nn.Module,
        responses: nn.Module,
        down: nn.Module,
        scale: Tensor | None,
    ) -> None:
        super().__init__()
        self.depthwise = depthwise
        self.norm = norm
        self.up = up
        self.activation = activation
        self.responses = responses
        self.down = down
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the next hidden states [images, channels, height, width]."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.down(self.responses(self.activation(self.up(y))))
        if self.scale is not None:
            y = self.scale * y
        added: Tensor = x + y.permute(0, 3, 1, 2)
        return added


class ConvolutionStep(nn.Module):
    """Convolution, batch norm with its running statistics, activation."""

    def __init__(self, convolution: nn.Module, norm: nn.BatchNorm2d, activation: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = norm
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return [images, channels, height, width]."""
        if isinstance(self.convolution, BankedConvolution):
            y = self.convolution(x, self.norm)
        else:
            y = self.norm(self.convolution(x))
        activated: Tensor = self.activation(y)
        return activated


class ResidualBlock(nn.Module):
    """Steps, and what went in added before the last activation (He et al., arXiv 1512.03385)."""

    def __init__(
        self, steps: Sequence[nn.Module], shortcut: nn.Module, activation: nn.Module
    ) -> None:
        super().__init__()
        self.steps = nn.Sequential(*steps)
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return the next hidden states [images, channels, height, width]."""
        y: Tensor = self.activation(self.steps(x) + self.shortcut(x))
        return y


class ConvolutionalEncoder(nn.Module):
    """Steps, and the mean over all places, which the head takes behind a norm of the family."""

    def __init__(self, steps: Sequence[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.norm = norm

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (pooled, embedding); the embedding is the mean before the norm."""
        x = pixels
        for step in self.steps:
            x = step(x)
        mean = x.mean(dim=(2, 3))
        return self.norm(mean), mean.clone()
