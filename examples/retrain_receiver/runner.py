"""Runs the jobs: one at a time per adapter, a stated number at a time in all."""

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from examples.retrain_receiver.command import filled
from examples.retrain_receiver.event import RetrainRequested
from examples.retrain_receiver.ledger import Job, Ledger

_LOG = logging.getLogger(__name__)
_PATIENCE_S = 10.0  # that a job has to end when it is told to
_NOT_STARTED = 127  # what a shell says of a command that it cannot start


class Runner:
    """Starts each job's command; its output goes to `<folder>/<event id>.log`."""

    def __init__(
        self, ledger: Ledger, template: Sequence[str], folder: Path, at_once: int = 1
    ) -> None:
        self._ledger = ledger
        self._template = list(template)
        self._folder = folder
        self._at_once = at_once
        self._running: dict[str, subprocess.Popen[bytes] | None] = {}  # by adapter
        self._changed = threading.RLock()
        self._ending = False
        self._threads: list[threading.Thread] = []

    def wake(self) -> None:
        """Start what can be started now."""
        with self._changed:
            while not self._ending and len(self._running) < self._at_once:
                job = self._ledger.take(self._running)
                if job is None:
                    return
                self._running[job.subject] = None
                thread = threading.Thread(target=self._run, args=(job,), name=job.id)
                self._threads = [one for one in self._threads if one.is_alive()] + [thread]
                thread.start()

    def close(self) -> None:
        """Stop the jobs that run; they are begun again when the receiver is."""
        with self._changed:
            self._ending = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self._changed:
                for process in filter(None, self._running.values()):
                    _signal(process, number)
            for thread in self._threads:
                thread.join(_PATIENCE_S)

    def _run(self, job: Job) -> None:
        status: int | None = None
        try:
            status = self._train(job)
        except OSError as error:
            _LOG.exception("job %s cannot be started", job.id)
            (self._folder / f"{job.id}.log").write_text(f"cannot be started: {error}\n")
            status = _NOT_STARTED
        finally:
            with self._changed:
                del self._running[job.subject]
                if status is not None and not self._ending:
                    self._ledger.end(job.id, status)
        self.wake()

    def _train(self, job: Job) -> int:
        event = RetrainRequested.model_validate_json(job.event)
        file = self._folder / f"{job.id}.json"
        file.write_text(job.event, encoding="utf-8")
        values = {key: str(value) for key, value in event.data.model_dump().items()}
        words = filled(self._template, {**values, "id": job.id, "event": str(file.absolute())})
        with (self._folder / f"{job.id}.log").open("ab") as log:
            with self._changed:
                if self._ending:
                    return -signal.SIGTERM
                # A group of its own, so that what the command starts can be stopped with it.
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running[job.subject] = process
            _LOG.info("job %s for %s runs as process %d", job.id, job.subject, process.pid)
            status = process.wait()
        _LOG.info("job %s for %s ended with %d", job.id, job.subject, status)
        return status


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # it has just ended
