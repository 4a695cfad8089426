"""What is made of `grafana/slo.yaml` and of the code is what is committed."""

from grafana import generate


def test_generated_files_are_what_make_grafana_writes() -> None:
    assert generate.main(["--check"]) == 0, "run `make grafana`"
