import io

from rich.console import Console

from monitoring.ingest.progress import bar


def test_a_terminal_sees_how_far_it_is() -> None:
    written = io.StringIO()
    with bar(Console(file=written, force_terminal=True, width=100)) as tell:
        tell(500_000, 1_000_000)
    assert "reading the event log" in written.getvalue()
    assert "0.5/1.0 MB" in written.getvalue()


def test_a_file_sees_nothing() -> None:
    written = io.StringIO()
    with bar(Console(file=written)) as tell:
        tell(500_000, 1_000_000)
    assert written.getvalue().strip() == ""
