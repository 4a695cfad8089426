"""The ground that all tests stand on: an environment that does not depend on who runs them."""

import gc
import os

from hypothesis import settings

# A setting of the person's own shell must not reach the code under test.
for name in [name for name in os.environ if name.startswith("TENANTRY_")]:
    if name != "TENANTRY_DATA":
        del os.environ[name]

# Tests load models from folders that they made; nothing is looked up on a hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Beside other test processes, threads that spin for work only take each other's cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says nothing on a busy machine.
settings.register_profile("tenantry", deadline=None)
settings.load_profile("tenantry")

pytest_plugins = ["tests.fixtures_bundles", "tests.fixtures_service"]


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what was imported: it stays until the end anyway.

    torch and transformers alone are hundreds of thousands of objects, which each full collection
    would go through. What a test leaves behind is found as before.
    """
    gc.collect()
    gc.freeze()
