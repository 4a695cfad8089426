"""`python -m examples.gameday`."""

import sys

from examples.gameday.command import main

if __name__ == "__main__":
    sys.exit(main())
