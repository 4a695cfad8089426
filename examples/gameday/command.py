"""`python -m examples.gameday`: incidents on this machine, and whether the right people hear."""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from examples.demo.screen import Screen
from examples.gameday.errors import GameDayFailed
from examples.gameday.incident import Incident
from examples.gameday.incidents import EVERY, incidents_of
from examples.gameday.play import Outcome, play
from examples.gameday.programs import program_of
from examples.gameday.report import Entry, Played, document_of, entry_of, joined, page_of, shown_of
from examples.gameday.stack import ROOT
from examples.gameday.town import Town, town_in

_GIT_S = 20
_STOPPING = (signal.SIGINT, signal.SIGTERM)


def main(words: Sequence[str] | None = None) -> int:
    """Play the incidents, and return the exit status: 0 where all went as expected."""
    asked = _parser().parse_args(words)
    # Everything that is loaded is on this machine: nothing is looked up on a hub.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # What a program reads stands alone on standard output.
    with contextlib.redirect_stdout(sys.stderr if asked.json else sys.stdout):
        screen = Screen()
        try:
            incidents = incidents_of(asked.only.split(",") if asked.only else ())
            if asked.list:
                for incident in EVERY:
                    only = " (only by name)" if incident.by_name else ""
                    screen.line(f"{incident.name.replace(' ', '-')}: {incident.story}{only}")
                return 0
            with _stopped_by_signals():
                outcomes = _played(screen, asked.dir, incidents)
        except KeyboardInterrupt:
            screen.line("game day: stopped, and every process with it")
            return 1
        except GameDayFailed as error:
            screen.line(f"game day: {error}")
            return 1
        entries = [entry_of(outcome, _played_now()) for outcome in outcomes]
        screen.heading("What fired, and after how long")
        screen.table(*shown_of(entries))
        if asked.out is not None:
            _write(asked.out, entries, add=asked.add)
            screen.line(f"wrote {asked.out}")
    if asked.json:
        sys.stdout.write(json.dumps(document_of(entries), indent=2) + "\n")
    return 0 if all(outcome.as_expected for outcome in outcomes) else 1


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, so that every process is ended then too.

    SIGINT is asked for as well, because a shell that starts a job in the background ignores it.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.gameday", description=__doc__)
    parser.add_argument("--only", help="incidents to play, with commas between; see --list")
    parser.add_argument("--list", action="store_true", help="show the incidents and end")
    parser.add_argument("--json", action="store_true", help="print everything that was seen")
    parser.add_argument("--dir", type=Path, default=Path("gameday"), help="a folder to work in")
    parser.add_argument(
        "--out", type=Path, help="where the page is written, and its JSON beside it"
    )
    parser.add_argument(
        "--add", action="store_true", help="with --out: keep what is there of other incidents"
    )
    return parser


def _played(screen: Screen, folder: Path, incidents: Sequence[Incident]) -> list[Outcome]:
    for names in (("prometheus",), ("promtool",), ("prometheus-alertmanager", "alertmanager")):
        program_of(*names)
    screen.heading("A backbone and six tenants")
    with screen.stage("made once, and kept"):
        town = town_in(folder)
    screen.heading("Incidents, each on processes of its own, about a minute long")
    runs = Path(tempfile.mkdtemp(prefix="run-", dir=folder)).resolve()
    outcomes = []
    for incident in incidents:
        outcome = _one(screen, town, runs, incident)
        outcomes.append(outcome)
        if not outcome.as_expected:
            told = outcome.problem or f"missing: {outcome.missing}, too loud: {outcome.loud}"
            screen.line(f"  {incident.name}: NOT as expected: {told}")
            screen.line(f"  the logs: {runs / _folder_of(incident)}")
    if all(outcome.as_expected for outcome in outcomes):
        shutil.rmtree(runs)
    return outcomes


def _one(screen: Screen, town: Town, runs: Path, incident: Incident) -> Outcome:
    with screen.stage(incident.name) as advance:
        try:
            return play(
                town, runs / _folder_of(incident), incident, lambda word: advance(0, 1, word)
            )
        except GameDayFailed as error:
            return Outcome(incident, problem=str(error))


def _folder_of(incident: Incident) -> str:
    return incident.name.replace(" ", "-")


def _played_now() -> Played:
    machine = f"{platform.machine()} with {len(os.sched_getaffinity(0))} cores"
    return Played(f"{datetime.now(UTC):%Y-%m-%d}", _commit(), machine)


def _write(out: Path, entries: Sequence[Entry], *, add: bool) -> None:
    """Write the page, and everything that was seen as JSON beside it."""
    whole = out.with_suffix(".json")
    if add and whole.is_file():
        kept = json.loads(whole.read_text(encoding="utf-8"))["incidents"]
        entries = joined(kept, entries, [incident.name for incident in EVERY])
    out.write_text(page_of(entries), encoding="utf-8")
    whole.write_text(json.dumps(document_of(entries), indent=2) + "\n", encoding="utf-8")


def _commit() -> str:
    """Return the commit, marked where tracked files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"{head}-changed" if head and _git("status", "--porcelain") else head or "no commit"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_GIT_S,
    )
    return done.stdout.strip()
