"""From the server's JSON documents to values; raises `UnreadableAnswer` for what cannot be."""

from service.client.documents import (
    Adapter,
    AuditLine,
    AuditPage,
    Backbone,
    Canary,
    Feedback,
    Key,
    Logged,
    Model,
    NewKey,
    Predicted,
    Prediction,
    Rates,
    Ready,
    Rollout,
    Tenant,
    Usage,
    Used,
    Version,
)
from service.client.errors import UnreadableAnswer, problems_of
from service.client.reading import Reader


def predicted(value: object) -> Predicted:
    """Return the answer to a predict request."""
    answer = Reader(value, "the prediction")
    model = Reader(answer.document.get("model"), "the prediction's model")
    return Predicted(
        Model(
            tenant=model.text("tenant"),
            adapter=model.text("adapter"),
            version=model.whole("version"),
            digest=model.text("digest"),
            backbone=model.text("backbone"),
            precision=model.text("precision"),
            provider=model.text("provider"),
        ),
        tuple(_prediction(one) for one in answer.readers("predictions", "a prediction")),
        answer.document,
    )


def _prediction(one: Reader) -> Prediction:
    embedding = one.document.get("embedding")
    return Prediction(
        id=one.text("id"),
        label=one.text("label"),
        score=one.number("score"),
        scores=None if one.document.get("scores") is None else one.object("scores"),
        embedding=None if embedding is None else tuple(one.items("embedding")),
        truncated=one.flag("truncated"),
        calibrated=one.flag("calibrated"),
        audit=one.flag("audit"),
        document=one.document,
    )


def feedback(value: object) -> Feedback:
    """Return the answer to labels."""
    answer = Reader(value, "the answer to the labels")
    return Feedback(
        answer.whole("accepted"),
        answer.whole("refused"),
        problems_of(answer.document.get("problems")),
        answer.document,
    )


def tenant(value: object) -> Tenant:
    """Return a tenant."""
    one = Reader(value, "the tenant")
    rates, log = Reader(one.object("rates"), "its rates"), Reader(one.object("log"), "its log")
    return Tenant(
        name=one.text("name"),
        kind=one.text("class"),
        weight=one.number("weight"),
        rates=Rates(
            rates.number_or_none("requests_per_s"),
            rates.number_or_none("tokens_per_s"),
            rates.whole_or_none("concurrent_requests"),
        ),
        log=Logged(log.flag("text"), log.flag("embedding"), log.number("sample")),
        created_at=one.text("created_at"),
        document=one.document,
    )


def tenants(value: object) -> tuple[Tenant, ...]:
    """Return a list of tenants."""
    return tuple(map(tenant, Reader(value, "the list").items("tenants")))


def key(value: object) -> Key:
    """Return a key."""
    one = Reader(value, "the key")
    return Key(
        id=one.text("id"),
        tenant=one.text("tenant"),
        scopes=one.texts("scopes"),
        created_at=one.text("created_at"),
        actor=one.text("actor"),
        document=one.document,
    )


def keys(value: object) -> tuple[Key, ...]:
    """Return a list of keys."""
    return tuple(map(key, Reader(value, "the list").items("keys")))


def new_key(value: object) -> NewKey:
    """Return a key that was made."""
    one = Reader(value, "the key")
    return NewKey(
        id=one.text("id"),
        tenant=one.text("tenant"),
        scopes=one.texts("scopes"),
        key=one.text("key"),
        document=one.document,
    )


def adapter(value: object) -> Adapter:
    """Return an adapter."""
    one = Reader(value, "the adapter")
    return Adapter(
        tenant=one.text("tenant"),
        adapter=one.text("adapter"),
        versions=one.whole("versions"),
        latest=one.whole("latest"),
        live=one.whole_or_none("live"),
        canary=_canary(one),
        shadows=_numbers(one, "shadows"),
        created_at=one.text("created_at"),
        revision=one.whole_or_none("revision"),
        document=one.document,
    )


def adapters(value: object) -> tuple[Adapter, ...]:
    """Return a list of adapters."""
    return tuple(map(adapter, Reader(value, "the list").items("adapters")))


def version(value: object) -> Version:
    """Return a version."""
    one = Reader(value, "the version")
    return Version(
        tenant=one.text("tenant"),
        adapter=one.text("adapter"),
        version=one.whole("version"),
        digest=one.text("digest"),
        backbone=one.text("backbone"),
        state=one.text("state"),
        labels=one.texts("labels"),
        metadata=one.object("metadata"),
        report=one.object("report"),
        bytes=one.whole("bytes"),
        created_at=one.text("created_at"),
        document=one.document,
    )


def versions(value: object) -> tuple[Version, ...]:
    """Return a list of versions."""
    return tuple(map(version, Reader(value, "the list").items("versions")))


def rollout(value: object) -> Rollout:
    """Return a rollout."""
    one = Reader(value, "the rollout")
    forced = one.object("force")
    return Rollout(
        live=one.whole_or_none("live"),
        canary=_canary(one),
        shadow=_numbers(one, "shadow"),
        forced=Reader(forced, "its force").text("reason") if forced else None,
        revision=one.whole("revision"),
        previous=one.whole_or_none("previous"),
        actor=one.text_or_none("actor"),
        created_at=one.text_or_none("created_at"),
        document=one.document,
    )


def _canary(one: Reader) -> Canary | None:
    if one.document.get("canary") is None:
        return None
    told = Reader(one.document["canary"], "the canary")
    return Canary(told.whole("version"), told.number("percent"))


def _numbers(one: Reader, name: str) -> tuple[int, ...]:
    return () if one.document.get(name) is None else one.wholes(name)


def usage(value: object) -> Usage:
    """Return what a tenant used."""
    one = Reader(value, "the usage")
    return Usage(
        tenant=one.text("tenant"),
        since=one.day("since"),
        until=one.day("until"),
        total=_used(Reader(one.object("total"), "the total")),
        days=tuple((day.day("day"), _used(day)) for day in one.readers("days", "a day's usage")),
        document=one.document,
    )


def _used(one: Reader) -> Used:
    return Used(
        requests=one.whole("requests"),
        texts=one.whole("texts"),
        tokens=one.whole("tokens"),
        compute_s=one.number("compute_s"),
        limited=one.whole("limited"),
    )


def audit_page(value: object) -> AuditPage:
    """Return a page of the audit trail."""
    page = Reader(value, "the audit trail")
    return AuditPage(
        tuple(
            AuditLine(
                id=one.whole("id"),
                at=one.text("at"),
                actor=one.text("actor"),
                action=one.text("action"),
                tenant=one.text_or_none("tenant"),
                adapter=one.text_or_none("adapter"),
                before=one.document.get("before"),
                after=one.document.get("after"),
                document=one.document,
            )
            for one in page.readers("lines", "a line")
        ),
        page.whole_or_none("cursor"),
    )


def backbone(value: object) -> Backbone:
    """Return the bundle that is served, from the list of models: the one without a parent."""
    for one in Reader(value, "the list of models").readers("data", "a model"):
        if one.document.get("parent") is None:
            return Backbone(one.text("root"), one.text("id"), one.document)
    raise UnreadableAnswer("the server's list of models names no backbone")


def ready(value: object) -> Ready:
    """Return whether requests are welcome."""
    one = Reader(value, "the readiness")
    return Ready(one.flag("ready"), one.text_or_none("reason"))
