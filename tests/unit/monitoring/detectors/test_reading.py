import pytest

from monitoring.detectors.reading import reading_of
from service.measures import UNDEFINED, Estimate

FAR = Estimate(4.0, 2.0, 7.0)
SMALL = Estimate(0.1, -0.5, 1.5)


@pytest.mark.parametrize(
    ("effect", "reweighted", "content", "reading"),
    [
        (Estimate(0.2, -0.1, 0.9), SMALL, SMALL, "within tolerance"),
        (
            Estimate(0.8, 0.1, 1.9),
            SMALL,
            SMALL,
            "within tolerance, but so few rows cannot exclude that it is beyond",
        ),
        (
            Estimate(1.5, 0.6, 2.9),
            SMALL,
            SMALL,
            "perhaps beyond tolerance: more rows are needed to tell",
        ),
        (FAR, FAR, FAR, "beyond tolerance: other content"),
        (FAR, SMALL, FAR, "beyond tolerance: other content, and another class mix"),
        (
            FAR,
            SMALL,
            SMALL,
            "beyond tolerance: another class mix; the content of the classes is within tolerance",
        ),
        (
            Estimate(8.0, 5.0, 12.0),
            SMALL,
            Estimate(1.8, 0.7, 3.0),
            "beyond tolerance: another class mix for the most part",
        ),
        (
            FAR,
            SMALL,
            Estimate(1.8, 0.7, 3.0),
            (
                "beyond tolerance: other content or another class mix: "
                "more rows are needed to tell which"
            ),
        ),
        (
            FAR,
            UNDEFINED,
            UNDEFINED,
            "beyond tolerance: whether by other content or another class mix is unknown",
        ),
    ],
)
def test_effects_read_as_one_plain_sentence(
    effect: Estimate, reweighted: Estimate, content: Estimate, reading: str
) -> None:
    assert reading_of(effect, reweighted, content) == reading


def test_bounds_at_the_tolerance_itself_are_within_it() -> None:
    assert reading_of(Estimate(0.5, 0.0, 1.0), SMALL, SMALL) == "within tolerance"
    assert reading_of(Estimate(2.0, 1.0, 3.0), SMALL, SMALL).startswith("perhaps")
