"""Benchmarks that ask a service over HTTP with wrk: what all of them need before they begin."""

import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.report import Report, publish
from benchmarks.servers import stop_with_us
from benchmarks.texts import banking_texts_or_skip
from benchmarks.wrk import LoadFailed, find_wrk


def measure(options: Namespace, run: Callable[[Namespace, list[str], ExitStack], Report]) -> None:
    """Run a benchmark on real texts and publish it; skip, with the reason, what cannot be run."""
    words = banking_texts_or_skip(256 if options.quick else 2048)
    try:
        find_wrk()
    except LoadFailed as error:
        sys.stderr.write(f"skipped: {error}\n")
        return
    stop_with_us()
    with ExitStack() as stack:
        report = run(options, words, stack)
    publish(report, options)
