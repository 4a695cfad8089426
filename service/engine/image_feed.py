"""The feed of images: each row of a pass is one image, and has its own adapter's columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.engine.adapter import FloatArray
from service.engine.bundle import ImageInput
from service.engine.feed import NO_ADAPTER, GraphInputs, IntArray, Layout, Lease
from service.engine.packing import Plan
from service.engine.pixels import Pixels


@dataclass(frozen=True, slots=True)
class ImageFeed:
    """The graph's inputs for one pass; image k of the batch is the plan's k-th placed one.

    An image shares its row with nobody, so its columns need no owners: those beyond its adapter's
    rank are bank row 0, which is zero.
    """

    pixels: FloatArray  # [images, channels, height, width], zero behind the last image
    columns: IntArray  # [images, K], bank rows
    count: int  # real images
    tokens: int  # what they cost

    def inputs(self, names: frozenset[str]) -> GraphInputs:
        """Return the named inputs of the graph."""
        held: GraphInputs = {"pixels": self.pixels, "columns": self.columns}
        return {name: array for name, array in held.items() if name in names}


def make_image_feed(
    plan: Plan,
    images: Sequence[Pixels],
    adapters: Sequence[int],
    leases: Sequence[Lease],
    layout: Layout,
) -> ImageFeed:
    """Return the arrays for `plan`; `images` and `adapters` are indexed as in the plan.

    `adapters[i]` numbers an entry of `leases`, or is `NO_ADAPTER` for the bare backbone.
    """
    placed = list(plan.placed)
    pixels = np.zeros((plan.shape.rows, *images[placed[0]].values.shape), dtype=np.float32)
    mine = [leases[adapters[i]] if adapters[i] != NO_ADAPTER else Lease(0, 0) for i in placed]
    width = layout.columns(max(lease.rank for lease in mine))
    columns = np.zeros((plan.shape.rows, width), dtype=np.int64)
    for row, (index, lease) in enumerate(zip(placed, mine, strict=True)):
        pixels[row] = images[index].values
        columns[row, : lease.rank] = range(lease.first, lease.first + lease.rank)
    return ImageFeed(pixels, columns, len(placed), sum(len(images[i]) for i in placed))


def blank_images(image: ImageInput, count: int, width: int) -> ImageFeed:
    """Return a feed of so many black images without adapters, `width` columns each."""
    size = (count, image.channels, image.height, image.width)
    pixels = np.zeros(size, dtype=np.float32)
    columns = np.zeros((count, width), dtype=np.int64)
    return ImageFeed(pixels, columns, count, count * image.tokens)
