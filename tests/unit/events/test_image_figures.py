from service.events.image_figures import ImageFigures, image_fingerprint
from service.events.text_figures import figures_of

KEY = bytes(range(32))


def test_a_fingerprint_is_a_tenant_s_and_a_key_s_own() -> None:
    found = {
        image_fingerprint(content, tenant, key)
        for content in (0, 1, 2**64 - 1)
        for tenant in ("acme", "globex")
        for key in (KEY, bytes(32))
    }
    assert len(found) == 12
    assert all(0 < one < 2**63 for one in found)
    assert image_fingerprint(1, "acme", KEY) == image_fingerprint(1, "acme", KEY)


def test_an_image_has_another_fingerprint_than_a_text_of_the_same_bytes() -> None:
    (text,) = figures_of(["\0" * 7 + "\1"], "acme", KEY).fingerprints
    assert image_fingerprint(1, "acme", KEY) != text


def test_rows_are_those_that_were_asked_for() -> None:
    figures = ImageFigures(
        [1, 2, 3], [4, 5, 6], [7, 8, 9], [0.1, 0.2, 0.3], [None, 1.0, 2.0], [1, 2, 3]
    )
    assert figures.rows([2, 0]) == ImageFigures(
        [3, 1], [6, 4], [9, 7], [0.3, 0.1], [2.0, None], [3, 1]
    )
