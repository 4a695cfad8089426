import pytest

from service.engine.errors import InvalidAdapter
from service.engine.images.limits import Limits
from service.engine.pixels import ImageFigures, Pixels
from service.gate.inputs import HoldoutImages
from service.gate.measure import _facts
from service.uploads.holdout import HoldoutRow
from tests.fakes.images import BLUE, RED, TOKENS, FakePreprocessor, picture, url_of


def images_of() -> tuple[HoldoutImages, FakePreprocessor]:
    preprocessor = FakePreprocessor()
    return HoldoutImages(preprocessor, Limits()), preprocessor


def test_a_probe_holds_images_of_several_kinds() -> None:
    probe = images_of()[0].probe()
    assert len({one.values.tobytes() for one in probe if isinstance(one, Pixels)}) == 4


def test_images_are_decoded_piece_by_piece_when_they_are_run() -> None:
    images, preprocessor = images_of()
    rows = [HoldoutRow(url_of(picture((RED, BLUE)[n % 2])), "x", n + 1) for n in range(100)]
    pieces = images.pieces(rows)
    assert [piece.rows for piece in pieces] == [64, 36]
    before = preprocessor.encoded
    first = pieces[0].prepare()
    assert preprocessor.encoded == before + 64
    assert all(isinstance(one, Pixels) and len(one) == TOKENS for one in first)
    facts = _facts(first[0])
    assert isinstance(facts, ImageFigures)
    assert (facts.width, facts.height) == (40, 30)
    assert images.pieces([]) == []


@pytest.mark.parametrize("image", ["data:image/png;base64,%%%", url_of(b"no image"), "data:image/"])
def test_an_image_that_cannot_be_decoded_is_named_by_its_line(image: str) -> None:
    (piece,) = images_of()[0].pieces([HoldoutRow(image, "x", 7)])
    with pytest.raises(InvalidAdapter) as caught:
        piece.prepare()
    (problem,) = caught.value.problems
    assert problem.where == "holdout.jsonl/7"
    assert problem.what.startswith("image: ")
