"""The static check for TensorRT on bundles as they are exported."""

from collections.abc import Callable

import pytest

from exporter.tensorrt.check import check, check_bundle
from service.engine.bundle import Bundle
from tests.fakes.checkpoints import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_graph_builds(family: str, bundle_of: Callable[[str], Bundle]) -> None:
    bundle = bundle_of(family)
    found = check_bundle(bundle)
    assert check(bundle.path) == found
    assert [f for f in found if f.blocks] == []
