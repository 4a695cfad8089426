"""`python -m examples.retrain_receiver --secret-file F -- COMMAND ...`: see the README."""

import argparse
import logging
import os
import sys
from pathlib import Path

import uvicorn

from examples.retrain_receiver.app import make_app
from examples.retrain_receiver.command import NAMES, check
from examples.retrain_receiver.ledger import Ledger
from examples.retrain_receiver.runner import Runner
from examples.retrain_receiver.verification import key_of

SECRET = "RETRAIN_WEBHOOK_SECRET"  # noqa: S105 the name of a variable


def main() -> int:
    """Receive until interrupted; return the exit status."""
    options = _parser().parse_args()
    try:
        check(options.command)
        key = key_of(_secret(options))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "jobs.sqlite3")
    runner = Runner(ledger, options.command, folder, options.jobs)
    app = make_app(key, ledger, runner)
    uvicorn.run(app, host=options.host, port=options.port, log_config=None)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.retrain_receiver",
        description="Receive Tenantry's retrain triggers, and start a training job for each.",
    )
    parser.add_argument("--secret", help=f"what the sidecar signs with (default: ${SECRET})")
    parser.add_argument("--secret-file", type=Path, help="a file that holds it")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8002, help="port to listen on")
    parser.add_argument(
        "--folder", type=Path, default=Path("retraining"), help="where events and logs go"
    )
    parser.add_argument("--jobs", type=int, default=1, help="jobs at a time, of all adapters")
    places = ", ".join(f"{{{name}}}" for name in NAMES)
    parser.add_argument("command", nargs="+", help=f"what trains, after `--`; may hold {places}")
    return parser


def _secret(options: argparse.Namespace) -> str:
    if options.secret_file is not None:
        return str(options.secret_file.read_text(encoding="utf-8").strip())
    secret = options.secret or os.environ.get(SECRET)
    if not secret:
        raise ValueError(f"no secret: give --secret-file, {SECRET} or --secret")
    return str(secret)


if __name__ == "__main__":
    sys.exit(main())
