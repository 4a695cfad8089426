"""The demo's tenant with images: a belt of toy blocks, from training to a camera at night."""

import json
import shutil
import time
import zipfile
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from examples.demo.checks import Check
from examples.demo.errors import DemoFailed
from examples.demo.operator_client import Operator
from examples.demo.picture_training import LABELS, make_backbone, peft_probabilities, train_adapter
from examples.demo.pictures import Drawing, draw_many
from examples.demo.screen import Screen
from examples.demo.service_process import ServiceProcess, monitoring, serving
from examples.demo.session import wait
from examples.demo.watching import PACE, until_told
from examples.demo.work_folder import emptied
from exporter.export import ALL_LINEAR, Request, export_bundle
from service.engine.bundle import Bundle

TENANT, ADAPTER = "block-works", "belt"
ACCURACY_MIN = 0.80
PROBABILITY_ERROR_MAX = 1e-4
TOLD_S_MAX = 60.0
_PATH = f"/v1/tenants/{TENANT}/adapters/{ADAPTER}/predict"
_HOLDOUT = 200
_ROUND, _ROUNDS, _ROUND_S = 60, 4, 2.5
_PNG = {"content-type": "image/png"}


@dataclass(frozen=True, slots=True)
class Shop:
    """What is served, and what `peft` says of the hold-out."""

    bundle: Bundle
    adapter: Path
    holdout: Sequence[Drawing]
    expected: npt.NDArray[np.float32]  # [hold-out, labels]

    def packed(self) -> bytes:
        """Return the upload: the adapter's files, and the hold-out with its images in it."""
        rows = [
            {
                "image": f"data:image/png;base64,{b64encode(one.file).decode('ascii')}",
                "label": one.shape,
            }
            for one in self.holdout
        ]
        archive = BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
            for path in sorted(self.adapter.iterdir()):
                files.write(path, path.name)
            files.writestr("holdout.jsonl", "\n".join(map(json.dumps, rows)))
        return archive.getvalue()


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it."""

    shop: Shop
    found: npt.NDArray[np.float32]  # [hold-out, labels], as the service answered
    exact: bool  # whether it computed in float32
    healthy: Mapping[str, Any]  # the sidecar's line by day,
    told: Mapping[str, Any]  # and at night
    alarms: set[str]
    qualities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@contextmanager
def watched_pictures(screen: Screen, folder: Path) -> Iterator[tuple[ServiceProcess, Seen]]:
    """Serve an image backbone around the block, after its sidecar saw the light go out."""
    shop = _prepare(screen, emptied(folder))
    state = emptied(folder / "state")
    with (
        serving(shop.bundle.path, state, None, folder / "service.log", "cpu") as service,
        Operator(service.url) as operator,
        httpx.Client(base_url=service.url, trust_env=False, timeout=60.0) as http,
    ):
        wait(screen, service)
        _publish(screen, operator, shop)
        found, exact = _compare(screen, http, shop)
        with monitoring(state, None, folder / "monitor.log", PACE) as sidecar:
            sidecar.wait_until_ready()
            screen.line(f"  its sidecar: {sidecar.url}")
            operator.set_log(TENANT, {"sample": 1.0})
            seen = _go_dark(screen, http, sidecar, shop, found, exact=exact)
            yield service, seen


def check_pictures(seen: Seen) -> list[Check]:
    """Check what the tenant with images was answered, and what the sidecar told of it."""
    tops = seen.found.argmax(axis=1)
    right = np.mean(
        [LABELS[top] == one.shape for top, one in zip(tops, seen.shop.holdout, strict=True)]
    )
    worst = float(np.abs(seen.found - seen.shop.expected).max())
    parity = seen.shop.bundle.manifest.parity
    brightness = seen.qualities.get("brightness_p50", {})
    dark = (brightness.get("now") or 1.0) < 0.7 * (brightness.get("reference") or 0.0)
    failed = seen.qualities.get("undecodable", {}).get("now")
    return [
        Check(
            "the image export proved itself against transformers and peft",
            parity.passed and parity.max_probability_error <= PROBABILITY_ERROR_MAX,
            f"error {parity.max_probability_error:.1e}",
        ),
        Check(
            f"{TENANT}: accuracy at least {ACCURACY_MIN:.2f} on pictures never seen",
            bool(right >= ACCURACY_MIN),
            f"{right:.3f}",
        ),
        Check(
            f"{TENANT}: every probability within {PROBABILITY_ERROR_MAX:.0e} of peft's",
            worst <= PROBABILITY_ERROR_MAX and seen.exact,
            f"largest difference {worst:.1e}",
        ),
        Check(
            f"{TENANT} by day: no alarm",
            seen.healthy["state"] != "alarm",
            f"{seen.healthy['state']}",
        ),
        Check(
            f"{TENANT} at night: a drift alarm",
            "drift" in seen.alarms,
            f"{sorted(seen.alarms)}, {seen.told['why']}",
        ),
        Check(
            "the sidecar shows that the pictures are dark, and how many were none",
            dark and bool(failed),
            f"brightness {brightness.get('reference')} to {brightness.get('now')},"
            f" undecodable {failed}",
        ),
    ]


def _prepare(screen: Screen, folder: Path) -> Shop:
    screen.heading("Images: a vision transformer made on the spot, an adapter by plain peft")
    backbone, adapter = folder / "backbone", folder / "adapter"
    with screen.stage("backbone: shape and colour of drawn blocks") as advance:
        make_backbone(backbone, lambda done, of, loss: advance(done, of, f"loss {loss:.2f}"))
    with screen.stage(f"{TENANT}: shapes alone") as advance:
        train_adapter(
            backbone,
            draw_many(800, seed=2),
            adapter,
            lambda done, of, loss: advance(done, of, f"loss {loss:.2f}"),
        )
    request = Request(
        str(backbone),
        folder / "bundle",
        targets=(ALL_LINEAR,),
        max_rank=8,
        licence="Apache-2.0",
        exported_by="tenantry demo",
        precisions=("fp32",),
    )
    with screen.stage("export and proof") as advance:
        shutil.rmtree(request.out, ignore_errors=True)
        bundle = export_bundle(request, lambda step, done, of: advance(done, of, step))
    holdout = draw_many(_HOLDOUT, seed=3)
    return Shop(bundle, adapter, holdout, peft_probabilities(backbone, adapter, holdout))


def _publish(screen: Screen, operator: Operator, shop: Shop) -> None:
    operator.make_tenant(TENANT)
    metadata = {
        "labels": list(LABELS),
        "license": "CC0-1.0",
        "backbone_digest": shop.bundle.digest,
    }
    version = operator.upload(TENANT, ADAPTER, shop.packed(), metadata)
    operator.make_live(TENANT, ADAPTER, version.version)
    accuracy = version.report["measured"]["accuracy"]["value"]
    screen.line(
        f"  {TENANT}.{ADAPTER} version {version.version} is {version.state}, accuracy"
        f" {accuracy:.3f} on {_HOLDOUT} pictures, and live"
    )


def _compare(
    screen: Screen, http: httpx.Client, shop: Shop
) -> tuple[npt.NDArray[np.float32], bool]:
    """Return what the service answers to the hold-out, a picture a request."""
    rows, precision = [], ""
    with screen.stage(f"{_HOLDOUT} pictures, one a request") as advance:
        for done, one in enumerate(shop.holdout, start=1):
            answer = http.post(_PATH, content=one.file, headers=_PNG)
            if not answer.is_success:
                raise DemoFailed(f"POST {_PATH}: {answer.status_code} {answer.text}")
            told = answer.json()
            precision = told["model"]["precision"]
            rows.append([told["predictions"][0]["scores"][label] for label in LABELS])
            advance(done, _HOLDOUT, "")
    return np.array(rows, dtype=np.float32), precision == "fp32"


def _go_dark(
    screen: Screen,
    http: httpx.Client,
    sidecar: ServiceProcess,
    shop: Shop,
    found: npt.NDArray[np.float32],
    *,
    exact: bool,
) -> Seen:
    with screen.stage("pictures by day") as advance:
        for round_ in range(_ROUNDS):
            _send(http, draw_many(_ROUND, seed=100 + round_))
            time.sleep(_ROUND_S)
            advance(round_ + 1, _ROUNDS, "")
        healthy = until_told(sidecar, TENANT, lambda line, _: line["effect"]["value"] is not None)
    screen.line("  now the light in the hall goes out, and one picture in ten is cut off")
    with screen.stage("until the sidecar tells") as advance:
        for round_ in range(_ROUNDS):
            _send(http, draw_many(_ROUND, seed=200 + round_, night=True), cut_every=10)
            time.sleep(_ROUND_S)
            advance(round_ + 1, _ROUNDS, "")
        told = until_told(sidecar, TENANT, lambda _, report: _has_told(report), TOLD_S_MAX)
    report = told.report
    qualities = {one["name"]: one for one in _primary(report)["inputs"]}
    screen.table(
        ("images", ">by day", ">now"),
        [
            (name, _number(qualities, name, "reference"), _number(qualities, name, "now"))
            for name in ("side_p50", "brightness_p50", "sharpness_p50", "undecodable")
        ],
    )
    screen.line(f"  {TENANT}: {told.line['state']}: {told.line['why']}")
    return Seen(shop, found, exact, healthy.line, told.line, _alarms(report), qualities)


def _send(http: httpx.Client, drawings: Sequence[Drawing], cut_every: int = 0) -> None:
    for number, one in enumerate(drawings):
        if cut_every and number % cut_every == 0:  # as a camera that loses its connection
            http.post(_PATH, content=one.file[:200], headers=_PNG)
        http.post(_PATH, content=one.file, headers=_PNG).raise_for_status()


def _has_told(report: Mapping[str, Any]) -> bool:
    qualities = {one["name"]: one for one in _primary(report)["inputs"]}
    return "drift" in _alarms(report) and bool(qualities["undecodable"]["now"])


def _primary(report: Mapping[str, Any]) -> Mapping[str, Any]:
    version = report["versions"][0]
    windows = {one["window"]["name"]: one for one in version["windows"]}
    found: Mapping[str, Any] = windows[version["primary"]]
    return found


def _alarms(report: Mapping[str, Any]) -> set[str]:
    return {one["kind"] for one in report["versions"][0]["alarms"] if one["ended_s"] is None}


def _number(qualities: Mapping[str, Mapping[str, Any]], name: str, which: str) -> str:
    value = qualities.get(name, {}).get(which)
    return "unknown" if value is None else f"{value:.3g}"
