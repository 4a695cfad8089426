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
        backends=(tested,),
    )
    assert read_memo(codec.encode(memo)) == memo
