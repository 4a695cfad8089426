"""The game day's town for tests: built once, and kept beside the bundles that tests share."""

import fcntl

from examples.gameday.town import Town, town_in
from tests.fixtures_bundles import BundleCache


def town_of(cache: BundleCache) -> Town:
    """Return the town, built by whichever test process asks for it first."""
    folder = cache.folder / "gameday"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return town_in(folder)
