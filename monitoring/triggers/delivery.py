"""The thread that sends what the outbox holds: at least once, and never faster than the retries."""

import logging
import random
import threading
from collections.abc import Sequence

from monitoring.triggers.attempts import claim, next_due_s, settle
from monitoring.triggers.event import CONTENT_TYPE
from monitoring.triggers.ports import Clock, Database, Poster
from monitoring.triggers.retries import Retries, verdict_of
from monitoring.triggers.signature import signed_headers

logger = logging.getLogger(__name__)


class Delivery:
    """Sends triggers, one at a time; `wake` it when one was stored."""

    def __init__(
        self,
        database: Database,
        poster: Poster,
        clock: Clock,
        keys: Sequence[bytes],
        retries: Retries | None = None,
        poll_s: float = 5.0,
    ) -> None:
        """Sign with `keys`, at least one; look for what is due every `poll_s`, or when woken."""
        assert keys, "a receiver trusts nothing that is not signed"
        self._database = database
        self._poster = poster
        self._clock = clock
        self._keys = tuple(keys)
        self._retries = retries or Retries()
        self._poll_s = poll_s
        self._draw = random.Random()  # noqa: S311 spreads attempts in time, no more
        self._called = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retrain-triggers", daemon=True)
        self.problem: str | None = None  # what keeps it from its work, for the report

    def start(self) -> None:
        """Begin: with what an earlier process left, if anything is due."""
        self._thread.start()

    def wake(self) -> None:
        """Say that a trigger was stored."""
        self._called.set()

    def close(self, wait_s: float = 15.0) -> None:
        """End after the attempt that is under way; what waits is sent by the next process."""
        self._ending.set()
        self._called.set()
        self._thread.join(wait_s)

    def send_due(self) -> int:
        """Make every attempt that is due; return how many that were."""
        made = 0
        while not self._ending.is_set() and self._send_one():
            made += 1
        return made

    def _send_one(self) -> bool:
        now_s = self._clock.now_s()
        with self._database.read() as connection:
            due_s = next_due_s(connection)
        if due_s is None or now_s < due_s <= now_s + self._retries.delay_s_max:
            return False
        with self._database.write() as connection:
            attempt = claim(connection, now_s, self._retries, self._draw.random())
        if attempt is None:
            return False
        headers = signed_headers(attempt.key, int(now_s), attempt.body, self._keys)
        # No transaction is open while the receiver takes its time.
        outcome = self._poster.post(attempt.body, {"content-type": CONTENT_TYPE, **headers})
        verdict = verdict_of(outcome, attempt.number, self._retries)
        with self._database.write() as connection:
            settle(connection, attempt, verdict, self._clock.now_s())
        level = logging.INFO if verdict.standing == "delivered" else logging.WARNING
        logger.log(
            level,
            "retrain trigger %s, attempt %d: %s (%s)",
            attempt.key,
            attempt.number,
            verdict.standing,
            verdict.detail,
        )
        return True

    def _run(self) -> None:
        while not self._ending.is_set():
            self._called.clear()
            try:
                self.send_due()
                self.problem = None
            except Exception as error:
                # A disk that is full or busy now may take the next attempt, and what one receiver
                # or certificate brings about must not end all sending; meanwhile it is shown.
                self.problem = f"retrain triggers cannot be sent: {type(error).__name__}"
                logger.exception("retrain triggers cannot be sent now")
            self._called.wait(self._poll_s)
