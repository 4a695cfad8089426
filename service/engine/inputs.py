"""Which inputs a bundle's graph has, its banks apart."""

from service.engine.bundle import Manifest


def graph_inputs(manifest: Manifest) -> frozenset[str]:
    """Return the graph's inputs but for its banks."""
    if manifest.image is not None:
        names = {"pixels"}
        lora = {"columns"}
    else:
        names = {"ids", "positions", "texts", "first"}
        names |= {"token_types"} if manifest.token_types else set()
        lora = {"adapters", "columns", "owners"}
    return frozenset(names | (lora if manifest.targets else set()))
