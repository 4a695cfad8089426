import msgspec

from monitoring import codec
from monitoring.assessment.memo import Memo, read_memo
from monitoring.backends.result import BackendResult
from monitoring.report import Figure


def test_a_version_that_is_new_has_nothing_but_reasons() -> None:
    memo = read_memo(None)
    assert memo == Memo()
    for figure in (memo.effect, memo.accuracy, memo.brier, memo.estimated, memo.calibration_error):
        assert figure.value is None
        assert figure.unknown
    assert memo.state == "unknown"
    assert memo.bad_inputs is not read_memo(None).bad_inputs


def test_a_memo_of_before_can_be_read() -> None:
    """It knew nothing of how a version answers, nor the accuracy of its hold-out."""
    later = {"class_counts", "confidence", "tokens", "reference_accuracy"}
    known = msgspec.structs.asdict(Memo(rows=500, statistic=0.25))
    old = {name: value for name, value in known.items() if name not in later}
    assert read_memo(codec.encode(old)) == Memo(rows=500, statistic=0.25)


def test_a_memo_is_kept_whole() -> None:
    tested = BackendResult(
        name="x", statistic=0.1, pvalue=0.2, threshold=None, is_drift=False, rows=3
    )
    memo = Memo(
        time_us=1,
        state="alarm",
        effect=Figure(value=0.1 + 0.2, lower=0.0, upper=1.0, count=3),
        bad_inputs={"empty": 2},
        raised_us={"drift": 5},
        class_counts=((2, 40), (0, 1)),
        confidence={"0.5": 0.1 + 0.2},
        tokens={"0.95": 31.0},
        reference_accuracy=0.9,
        backends=(tested,),
    )
    assert read_memo(codec.encode(memo)) == memo
