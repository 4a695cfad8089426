"""The compose file and what it mounts: nobody ran it here, so its parts must agree with each other.

Checked by hand: what the compose specification asks of the keys that are used, that paths are
there, that ports and addresses lead to what listens on them.
"""

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from monitoring.settings import MonitorSettings
from monitoring.settings import variable_of as monitor_variable_of
from service.settings import Settings, variable_of
from tests.needs import needs_program

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
Yaml = dict[str, Any]

# https://github.com/compose-spec/compose-spec/blob/main/spec.md: the keys that are used.
SERVICE_KEYS = {
    *("build", "command", "depends_on", "environment", "healthcheck", "image", "ports"),
    *("restart", "secrets", "stop_grace_period", "tmpfs", "volumes"),
}
HEALTH_KEYS = {"test", "interval", "timeout", "start_period"}
OURS = {"service", "monitor"}
SHELL_LESS = {"collector", "tempo"}  # images without a shell, in which no check can run


def load(path: str) -> Yaml:
    document = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


COMPOSE = load("deploy/compose.yaml")
SERVICES: dict[str, Yaml] = COMPOSE["services"]


def mounts(name: str) -> dict[str, tuple[str, str]]:
    """Return what is mounted in a container: target to source and mode."""
    found = {}
    for volume in SERVICES[name].get("volumes", []):
        source, target, *mode = re.sub(r"\$\{(\w+)[^}]*\}", r"$\1", volume).split(":")
        found[target] = (source, mode[0] if mode else "rw")
    return found


def mounted(name: str, target: str) -> Path:
    """Return the file or folder of the repository that a container sees at `target`."""
    source, _ = mounts(name)[target]
    return (DEPLOY / source).resolve()


def test_the_head_says_what_was_not_run() -> None:
    head = (DEPLOY / "compose.yaml").read_text(encoding="utf-8").split("\nname:")[0]
    assert "Not run here: Grafana, the collector and Tempo" in head


def test_it_has_what_the_specification_knows() -> None:
    assert COMPOSE.keys() == {"name", "services", "secrets", "volumes"}
    for name, service in SERVICES.items():
        assert service.keys() <= SERVICE_KEYS, name
        assert service.get("healthcheck", {}).keys() <= HEALTH_KEYS, name
        for needed in service.get("depends_on", {}):
            assert needed in SERVICES, name
            has_check = "healthcheck" in SERVICES[needed] or needed == "service"  # the image's own
            assert has_check, f"{name} waits for the health of {needed}"


def test_images_are_built_from_the_dockerfile_or_pinned() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    for name, service in SERVICES.items():
        if name in OURS:
            assert service["build"]["target"] in targets
            assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
        else:
            assert re.fullmatch(r"[a-z]+/[a-z-]+:v?\d+\.\d+\.\d+", service["image"]), name


def test_everything_that_is_mounted_is_there_and_cannot_be_written() -> None:
    for name in SERVICES:
        for target, (source, mode) in mounts(name).items():
            if source.startswith("."):
                assert (DEPLOY / source).resolve().exists(), f"{name}: {source}"
                assert (DEPLOY / source).resolve().is_relative_to(ROOT)
                assert mode == "ro", f"{name}: {target}"
            elif source.startswith("$"):
                assert mode == "ro", f"{name}: {target}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"
    used = {source for name in SERVICES for source, _ in mounts(name).values()}
    assert COMPOSE["volumes"].keys() <= used


def test_secrets_are_files_that_are_declared_and_used() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == COMPOSE["secrets"].keys()
    assert all(secret["file"].startswith("${SECRETS:?") for secret in COMPOSE["secrets"].values())
    text = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "prometheus.yml").read_text()
    named = set(re.findall(r"/run/secrets/([\w-]+)", text))
    assert named == used
    assert "TENANTRY_ADMIN_KEY:" not in text


def test_nothing_but_this_machine_reaches_a_port() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), name


def test_every_container_is_checked_or_cannot_be() -> None:
    for name, service in SERVICES.items():
        if name in SHELL_LESS:
            assert "healthcheck" not in service
        elif name != "service":
            assert service["healthcheck"]["test"][0] == "CMD", name
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text().split("AS build-monitoring")[0]


def test_the_service_takes_its_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = SERVICES["service"]["environment"]
    assert given.keys() <= {variable_of(field) for field in Settings.model_fields}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    settings = Settings(bundle=tmp_path, state=tmp_path)
    assert settings.operator_port == 9000
    assert str(settings.admin_key_file) == "/run/secrets/admin-key"
    assert settings.otlp_endpoint == "http://collector:4318"
    assert settings.grafana_url is not None
    assert settings.grafana_url.endswith("/d/tenantry-fleet")


def test_the_sidecar_takes_its_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = SERVICES["monitor"]["environment"]
    assert given.keys() <= {monitor_variable_of(field) for field in MonitorSettings.model_fields}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    settings = MonitorSettings(state=tmp_path)
    assert settings.host == "0.0.0.0"
    assert str(settings.admin_key_file) == "/run/secrets/admin-key"


def listening() -> dict[str, set[int]]:
    """Return the ports on which each container listens, as its own file has them."""
    tempo = load("grafana/tempo.yaml")
    collector = load("grafana/collector.yaml")

    def ports(protocols: Yaml) -> set[int]:
        return {int(one["endpoint"].rsplit(":", 1)[1]) for one in protocols.values()}

    return {
        "service": {8000, int(SERVICES["service"]["environment"]["TENANTRY_OPERATOR_PORT"])},
        "monitor": {MonitorSettings.model_fields["port"].default},
        "prometheus": {9090},
        "alertmanager": {9093},
        "grafana": {3000},
        "collector": ports(collector["receivers"]["otlp"]["protocols"]),
        "tempo": {tempo["server"]["http_listen_port"]}
        | ports(tempo["distributor"]["receivers"]["otlp"]["protocols"]),
    }


def test_published_ports_are_listened_on() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert int(port.rsplit(":", 1)[1]) in listening()[name], name


def test_addresses_lead_to_what_listens() -> None:
    prometheus = load("deploy/prometheus.yml")
    targets = [
        target
        for part in (*prometheus["scrape_configs"], *prometheus["alerting"]["alertmanagers"])
        for static in part["static_configs"]
        for target in static["targets"]
    ]
    sources = load("grafana/provisioning/datasources/tenantry.yaml")["datasources"]
    targets += [urlsplit(source["url"]).netloc for source in sources]
    targets.append(load("grafana/collector.yaml")["exporters"]["otlp"]["endpoint"])
    targets.append(urlsplit(SERVICES["service"]["environment"]["TENANTRY_OTLP_ENDPOINT"]).netloc)
    assert len(targets) == 7
    for target in targets:
        name, port = target.rsplit(":", 1)
        assert int(port) in listening()[name], target


def test_it_scrapes_what_the_other_prometheus_scrapes() -> None:
    inside, alone = load("deploy/prometheus.yml"), load("grafana/prometheus/prometheus.yml")
    assert inside["global"] == alone["global"]
    jobs = [{job["job_name"] for job in one["scrape_configs"]} for one in (inside, alone)]
    assert jobs == [{"tenantry", "tenantry-monitor"}] * 2
    ports = [
        sorted(
            target.rsplit(":", 1)[1]
            for job in one["scrape_configs"]
            for static in job["static_configs"]
            for target in static["targets"]
        )
        for one in (inside, alone)
    ]
    assert ports[0] == ports[1]
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]


def test_prometheus_accepts_its_file_with_the_rules_in_their_place(tmp_path: Path) -> None:
    promtool = needs_program("promtool")
    text = mounted("prometheus", "/etc/prometheus/prometheus.yml").read_text(encoding="utf-8")
    rules = mounted("prometheus", "/etc/prometheus/rules")
    key = tmp_path / "admin-key"
    key.write_text("a key\n", encoding="utf-8")
    assert "/etc/prometheus/rules/*.yaml" in text
    text = text.replace("/etc/prometheus/rules", str(rules))
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/run/secrets/admin-key", str(key)), encoding="utf-8")
    ran = subprocess.run(
        [promtool, "check", "config", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 rule files found" in ran.stdout


def test_grafana_finds_dashboards_and_data_sources() -> None:
    [provider] = load("grafana/provisioning/dashboards/tenantry.yaml")["providers"]
    folder = mounted("grafana", provider["options"]["path"])
    assert {path.name for path in folder.iterdir()} == {
        *("fleet.json", "on-call.json", "tenant.json", "debug.json")
    }
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (folder / Path(home).name).is_file()
    assert str(Path(home).parent) == provider["options"]["path"]
    for kind in ("datasources", "dashboards"):
        seen = mounted("grafana", f"/etc/grafana/provisioning/{kind}")
        assert [path.name for path in seen.iterdir()] == ["tenantry.yaml"]


def test_exemplars_lead_to_the_traces() -> None:
    prometheus, tempo = load("grafana/provisioning/datasources/tenantry.yaml")["datasources"]
    assert (prometheus["type"], tempo["type"]) == ("prometheus", "tempo")
    [way] = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert (way["name"], way["datasourceUid"]) == ("trace_id", tempo["uid"])
    interval = load("deploy/prometheus.yml")["global"]["scrape_interval"]
    assert prometheus["jsonData"]["timeInterval"] == interval


def test_the_collectors_pipeline_has_all_its_parts() -> None:
    collector = load("grafana/collector.yaml")
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) == collector[kind].keys()
    assert pipeline["processors"][0] == "memory_limiter"


def test_tempo_may_write_where_it_keeps_traces() -> None:
    [kept] = SERVICES["tempo"]["tmpfs"]
    folder = kept.split(":")[0]
    trace = load("grafana/tempo.yaml")["storage"]["trace"]
    assert trace["wal"]["path"].startswith(f"{folder}/")
    assert trace["local"]["path"].startswith(f"{folder}/")
