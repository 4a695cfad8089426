from pathlib import Path

from service.events.schema import COLUMNS, SCHEMA

PAGE = Path(__file__).resolve().parents[3] / "docs" / "concepts" / "event-log.md"


def test_every_column_is_documented_as_the_schema_says() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for name, _, meaning in COLUMNS:
        [line] = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert line.rstrip(" |").rsplit("| ", 1)[1] == meaning.strip()
        assert len(meaning) > 3
    assert [field.name for field in SCHEMA] == [name for name, _, _ in COLUMNS]


def test_what_every_event_has_cannot_be_null() -> None:
    required = [field.name for field in SCHEMA if not field.nullable]
    assert required == ["kind", "sequence", "time", "tenant", "adapter"]
