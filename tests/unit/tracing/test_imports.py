"""Who traces nothing pays nothing, not even an import."""

import subprocess
import sys

SCRIPT = """
import sys
import service.serve
print(sorted({name for name in sys.modules if name.startswith(%r)}))
"""


def test_serving_imports_no_sdk_and_no_exporter_unless_there_is_an_endpoint() -> None:
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "requests.")
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT % (heavy,)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.strip() == "[]"
