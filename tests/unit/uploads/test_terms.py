import pytest

from service.engine.errors import InvalidAdapter
from service.engine.findings import Findings
from service.uploads.metadata import Metadata
from service.uploads.terms import check_license

ALLOWED = ("Apache-2.0", "CC-BY-4.0")


def metadata_of(name: str | None) -> Metadata:
    return Metadata(labels=("a", "b"), license=name)


def check(name: str | None, allowed: tuple[str, ...] | None) -> str | None:
    findings = Findings()
    check_license(metadata_of(name), allowed, findings)
    try:
        findings.settle()
    except InvalidAdapter as error:
        (problem,) = error.problems
        assert problem.where == "metadata/license"
        return problem.what
    return None


@pytest.mark.parametrize("name", ["Apache-2.0", "apache-2.0", "cc-by-4.0"])
def test_a_licence_on_the_list_is_taken_however_it_is_written(name: str) -> None:
    assert check(name, ALLOWED) is None


@pytest.mark.parametrize("name", ["MIT", "Apache", "Apache-2.0 OR MIT", "my own"])
def test_a_licence_that_is_not_on_the_list_is_refused_with_the_list(name: str) -> None:
    what = check(name, ALLOWED)
    assert what == f"is {name}, and this server takes Apache-2.0, CC-BY-4.0"


def test_where_there_is_a_list_a_licence_must_be_named() -> None:
    assert check(None, ALLOWED) == "is missing; this server takes Apache-2.0, CC-BY-4.0"


@pytest.mark.parametrize("name", ["anything", None])
def test_without_a_list_every_licence_is_taken_and_none(name: str | None) -> None:
    assert check(name, None) is None


def test_an_empty_list_takes_nothing() -> None:
    assert check("MIT", ()) == "is MIT, and this server takes none"
