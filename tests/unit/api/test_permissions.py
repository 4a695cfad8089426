import pytest

from service.api.callers import ANONYMOUS, OPERATOR, Caller
from service.api.permissions import FREE_PATHS, NEEDS, Need, authorise, need_of, told
from service.credentials.scopes import Scope
from service.errors import (
    NotAuthenticated,
    NotPermitted,
    UnknownAdapter,
    UnknownTenant,
)

TENANT = {"tenant": "acme"}
MODEL = {"model": "acme.support"}


def caller(*scopes: Scope) -> Caller:
    return Caller("key:1@acme", "acme", frozenset(scopes))


EVERY_NEED: list[Need] = sorted(set(NEEDS.values()))


@pytest.mark.parametrize("need", EVERY_NEED)
@pytest.mark.parametrize("path", [TENANT, MODEL, {}])
def test_the_operator_may_do_what_anybody_may(need: Need, path: dict[str, str]) -> None:
    authorise(OPERATOR, need, path)


@pytest.mark.parametrize("need", EVERY_NEED)
@pytest.mark.parametrize("path", [TENANT, MODEL, {}])
def test_nobody_does_what_is_not_free_without_a_key(need: Need, path: dict[str, str]) -> None:
    if need == "free":
        authorise(ANONYMOUS, need, path)
        return
    with pytest.raises(NotAuthenticated):
        authorise(ANONYMOUS, need, path)


@pytest.mark.parametrize("need", sorted(set(EVERY_NEED) - {"free"}))
@pytest.mark.parametrize("path", [{"tenant": "globex"}, {"model": "globex.support"}])
def test_another_tenant_is_not_there_before_anything_else_is_said(
    need: Need, path: dict[str, str]
) -> None:
    for scope in ("predict", "publish", "admin"):
        with pytest.raises(UnknownTenant, match=r"^there is no tenant 'globex'$"):
            authorise(caller(scope), need, path)


@pytest.mark.parametrize("path", [TENANT, MODEL, {}])
def test_a_scope_is_needed_with_and_without_a_tenant_in_the_path(path: dict[str, str]) -> None:
    authorise(caller("publish"), "publish", path)
    authorise(caller("admin"), "publish", path)
    with pytest.raises(NotPermitted, match="scope publish"):
        authorise(caller("predict"), "publish", path)


@pytest.mark.parametrize("scope", ["predict", "publish", "admin"])
def test_any_key_of_the_tenant_is_a_member_and_none_is_the_operator(scope: Scope) -> None:
    authorise(caller(scope), "member", TENANT)
    authorise(caller(scope), "key", {})
    with pytest.raises(NotPermitted, match="operator"):
        authorise(caller(scope), "operator", TENANT)


@pytest.mark.parametrize("model", ["acme", "acme.", ".support", "acme.support.x", ""])
def test_a_name_that_is_no_model_s_is_unknown(model: str) -> None:
    with pytest.raises(UnknownAdapter):
        authorise(caller("predict"), "predict", {"model": model})


def test_a_tenant_in_the_path_goes_before_a_model() -> None:
    with pytest.raises(UnknownTenant):
        authorise(caller("admin"), "predict", {"tenant": "globex", "model": "acme.support"})


def test_a_route_without_a_line_is_for_the_operator_alone() -> None:
    assert need_of("GET", "/v1/new") == "operator"
    assert need_of("PATCH", "/v1/tenants") == "operator"


def test_what_is_free_is_what_the_contract_says() -> None:
    probes = {"/livez", "/readyz", "/v2", "/v2/health/live", "/v2/health/ready"}
    assert probes == FREE_PATHS


def test_only_the_operator_makes_changes_and_deletes_tenants_and_sees_the_pages() -> None:
    operators = {route for route, need in NEEDS.items() if need == "operator"}
    pages = {("GET", path) for path in ("/", "/docs", "/openapi.json", "/metrics")}
    tenant = "/v1/tenants/{tenant}"
    assert operators == {("PUT", tenant), ("DELETE", tenant), *pages}


def test_every_need_is_told() -> None:
    assert len({told(need) for need in EVERY_NEED}) == len(EVERY_NEED)
