import importlib.metadata

import pytest

from monitoring.backends import licence
from monitoring.errors import InvalidMonitorSettings


def test_who_selects_alibi_detect_is_told_its_terms() -> None:
    assert "Business Source License 1.1" in licence.require()
    assert "non-production" in licence.require()


def test_without_the_package_the_command_that_brings_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(licence, "version", absent)
    with pytest.raises(InvalidMonitorSettings, match=r"pip install 'tenantry\[alibi\]'") as caught:
        licence.require()
    assert "Business Source License" in str(caught.value)
