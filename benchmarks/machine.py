"""The machine that a number was measured on."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_PACKAGES = ("tenantry", "onnxruntime", "numpy", "torch", "transformers", "peft", "tokenizers")
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "amx_int8")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where, when and with what."""

    processor: str
    cores: int  # that this process may use
    features: tuple[str, ...]  # of the processor, those that matter to matrix products
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str]
    commit: str
    date: str
    load_before: float  # of the last minute; much above zero means that others were at work

    @property
    def has_amx(self) -> bool:
        """Return whether the processor multiplies bf16 tiles."""
        return "amx_bf16" in self.features

    def __str__(self) -> str:
        features = ", ".join(self.features)
        return (
            f"{self.processor}, {self.cores} cores ({features}), {self.memory_gib:.0f} GiB,"
            f" {self.system}, Python {self.python}; load before {self.load_before:.2f}"
        )


def describe() -> Machine:
    """Return this machine as it is now."""
    info = _cpuinfo()
    flags = set(info.get("flags", "").split())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=_processor(info),
        cores=len(os.sched_getaffinity(0)),
        features=tuple(name for name in _FEATURES if name in flags),
        memory_gib=round(pages / (1 << 30), 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions={name: found for name in _PACKAGES if (found := _version(name))},
        commit=_commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        load_before=os.getloadavg()[0],
    )


def _cpuinfo() -> dict[str, str]:
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _processor(info: dict[str, str]) -> str:
    name = info.get("model name") or platform.processor() or platform.machine()
    if "cpu family" not in info:
        return name
    return f"{name} (family {info['cpu family']}, model {info.get('model', '?')})"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """Return the commit, marked where tracked files of the product differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return "none"
    changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return f"{head}-changed" if changed else head


def _git(*words: str) -> str | None:
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=20
    )
    return done.stdout.strip() if done.returncode == 0 else None
