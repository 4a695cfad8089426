import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from service.errors import InvalidSettings
from service.rpc import availability
from service.rpc.availability import require_grpc


def test_it_says_nothing_where_the_packages_are() -> None:
    require_grpc()


@pytest.mark.parametrize("missing", ["grpc", "google", "google.protobuf"])
def test_a_missing_package_is_an_error_that_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        if missing == "google" and name.startswith("google."):
            raise ModuleNotFoundError(name="google")
        return None if name == missing else importlib.util.find_spec(name)

    monkeypatch.setattr(availability, "find_spec", find_spec)
    with pytest.raises(InvalidSettings, match=r"pip install 'tenantry\[grpc\]'"):
        require_grpc()
