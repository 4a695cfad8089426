import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.distill import examples
from exporter.distill.examples import Example, apart, read_examples, split
from exporter.errors import UnusableData

LABELS = ("refund", "delivery")


def written(path: Path, *lines: object) -> Path:
    file = path / "data.jsonl"
    file.write_bytes(
        b"".join(
            (one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines
        )
    )
    return file


def flaws(path: Path, *lines: object) -> str:
    with pytest.raises(UnusableData) as caught:
        read_examples(written(path, *lines), LABELS)
    return str(caught.value)


def test_texts_with_and_without_a_label_are_read_in_their_order(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {"text": "money back", "label": "refund"},
        b"",
        {"text": "hello"},
        {"label": None, "text": "Ärger"},
    )
    assert read_examples(file, LABELS) == [
        Example("money back", 0),
        Example("hello", None),
        Example("Ärger", None),
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{", "cannot be read: not JSON"),
        (b'{"text": "a", "text": "b"}', "'text' occurs twice"),
        (b'"text"', "not a JSON object"),
        (b'{"text": "\xff"}', "cannot be read"),
        ({}, "must have text, and may have label; found nothing"),
        ({"text": "a", "split": "train"}, "found text, split"),
        ({"text": " "}, "text must be a text that is not empty"),
        ({"text": 3}, "text must be a text that is not empty"),
        ({"text": "a", "label": "other"}, "label 'other' is none of the teacher's"),
        ({"text": "a", "label": 1}, "label 1 is none of the teacher's"),
    ],
)
def test_a_flaw_is_told_with_its_line(tmp_path: Path, line: object, what: str) -> None:
    told = flaws(tmp_path, {"text": "fine"}, b"", line)
    assert "line 3: " in told
    assert what in told


def test_every_flaw_is_told_up_to_a_number(tmp_path: Path) -> None:
    told = flaws(tmp_path, *[{"text": ""}] * 30)
    assert "line 1: " in told
    assert "line 20: " in told
    assert "line 21: " not in told
    assert "read no further" in told


def test_a_line_without_an_end_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "LINE_BYTES_MAX", 100)
    assert "line 2: has more than 100 bytes" in flaws(tmp_path, {"text": "a"}, b"x" * 10_000)


def test_limits_and_absent_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "has no rows" in flaws(tmp_path, b"")
    with pytest.raises(UnusableData, match=r"absent\.jsonl cannot be read: No such file"):
        read_examples(tmp_path / "absent.jsonl", LABELS)
    monkeypatch.setattr(examples, "ROWS_MAX", 2)
    assert "more than 2 rows" in flaws(tmp_path, *[{"text": "a"}] * 3)
    monkeypatch.setattr(examples, "BYTES_MAX", 5)
    assert "more than 5 bytes" in flaws(tmp_path, {"text": "a"})


def many(count: int) -> list[Example]:
    return [Example(f"text number {i}", None) for i in range(count)]


def test_about_the_share_is_held_out() -> None:
    found = split(many(4000), 0.1, seed=3)
    assert 300 < len(found.held_out) < 500
    assert sorted(e.text for e in (*found.training, *found.held_out)) == sorted(
        e.text for e in many(4000)
    )


def test_another_seed_holds_out_others() -> None:
    first, second = (split(many(500), 0.5, seed).held_out for seed in (0, 1))
    assert first != second
    assert first == split(many(500), 0.5, 0).held_out


@given(
    st.lists(st.text(min_size=1, max_size=5), min_size=8, max_size=60),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_a_text_is_on_one_side_and_stays_there_in_any_order_and_company(
    texts: list[str], seed: int, random: object
) -> None:
    rows = [Example(text, None) for text in [*texts, *texts]]
    more = [*rows, *many(100)]
    random.shuffle(more)  # type: ignore[attr-defined]
    side: dict[str, str] = {}
    found = split(more, 0.4, seed)
    for name, part in (("training", found.training), ("held out", found.held_out)):
        for example in part:
            assert side.setdefault(example.text, name) == name
    try:
        alone = split(rows, 0.4, seed)
    except UnusableData:
        return
    assert all(side[example.text] == "training" for example in alone.training)
    assert all(side[example.text] == "held out" for example in alone.held_out)


def test_what_is_held_out_is_not_trained_on() -> None:
    rows = many(5)
    found = apart(rows, [Example("text number 3", 1), Example("new", None)])
    assert found.training == (rows[0], rows[1], rows[2], rows[4])
    assert [example.text for example in found.held_out] == ["text number 3", "new"]
    with pytest.raises(UnusableData, match="every text is held out"):
        apart(rows, rows)


def test_too_few_texts_to_hold_any_out_are_refused() -> None:
    with pytest.raises(UnusableData, match="too few to hold out"):
        split(many(1), 0.1, 0)
