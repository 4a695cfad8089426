from hypothesis import given
from hypothesis import strategies as st

from service.events.ids import InvalidPredictionId, PredictionId, Signer

SIGNER = Signer({3: b"k" * 32}, 3)
PREDICTIONS = st.builds(
    PredictionId,
    reference=st.binary(min_size=8, max_size=8),
    seconds=st.integers(0, 2**32 - 1),
    class_index=st.integers(0, 2**16 - 1),
    confidence=st.floats(0, 1),
    live=st.booleans(),
    canary=st.booleans(),
    audit=st.booleans(),
    audit_probability=st.floats(2**-15, 1),
)


@given(prediction=PREDICTIONS, nonce=st.binary(min_size=5, max_size=5))
def test_what_is_read_is_what_was_issued(prediction: PredictionId, nonce: bytes) -> None:
    read = SIGNER.read(SIGNER.issue(prediction, nonce))
    assert abs(read.confidence - prediction.confidence) <= 0.5 / 65535 + 1e-12
    assert abs(read.audit_probability / prediction.audit_probability - 1) < 7e-4
    for name in ("reference", "seconds", "class_index", "live", "canary", "audit"):
        assert getattr(read, name) == getattr(prediction, name)


@given(text=st.text(max_size=60))
def test_no_text_but_an_id_is_read(text: str) -> None:
    try:
        SIGNER.read(text)
    except InvalidPredictionId:
        return
    raise AssertionError("an id that nobody issued was read")
