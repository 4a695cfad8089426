"""Showing a bundle: what its manifest says, for people and for programs."""

from pathlib import Path
from typing import Any

from service.client.commands.screen import Screen
from service.engine import digest
from service.engine.bundle import MANIFEST, Manifest, Variant, read_manifest

_SHORT = 19  # characters of a digest that people compare


def document_of(path: Path) -> dict[str, Any]:
    """Return the manifest with the bundle's digest and the sizes of its files, in bytes.

    Raises `InvalidBundle`. The size of a file that is not there is null.
    """
    manifest, data = read_manifest(path)
    return {
        "path": str(path),
        "digest": digest.of_bytes(data),
        "bytes": _sizes(path, manifest),
        "manifest": manifest.model_dump(mode="json"),
    }


def show_bundle(screen: Screen, path: Path) -> None:
    """Print what people want to know of a bundle; raise `InvalidBundle`."""
    manifest, data = read_manifest(path)
    source = manifest.source
    sizes = _sizes(path, manifest)
    kinds = sorted({target.name.rsplit(".", 1)[-1] for target in manifest.targets})
    facts: dict[str, object] = {
        "bundle": str(path),
        "digest": digest.of_bytes(data),
        "model": f"{source.name}, revision {source.revision}",
        "architecture": f"{source.architecture} ({manifest.family}), hidden {manifest.hidden_size}",
        "licence": manifest.licence,
        "takes": _takes(manifest),
        "adapters": _adapters(manifest, kinds),
        "head": " -> ".join(step.module or step.kind for step in manifest.head.steps),
        "an adapter brings": _brings(manifest),
        "source files": f"{len(source.files)}, each with its digest",
        "exported": f"{manifest.exported_at} by {manifest.exported_by}",
        "with": [f"{name} {version}" for name, version in sorted(manifest.versions.items())],
        "command": manifest.command,
    }
    screen.facts(facts)
    screen.line("")
    screen.table(
        ("variant", "compute", "proven on", ">worst error", ">labels agree", ">tokens/s", ">bytes"),
        [
            row
            for name, variant in manifest.variants.items()
            for row in _rows(name, manifest.task, variant, sizes)
        ],
    )
    screen.line("")
    screen.table(
        ("file", ">bytes", "digest"),
        [
            (name, sizes[name], found[:_SHORT])
            for name, found in sorted({**manifest.files, MANIFEST: digest.of_bytes(data)}.items())
        ],
    )


def _takes(manifest: Manifest) -> str:
    if manifest.image is not None:
        image = manifest.image
        return f"images of {image.channels} x {image.height} x {image.width}"
    pairs = ", pairs with types" if manifest.token_types else ""
    return f"texts of up to {manifest.max_length} tokens{pairs}"


def _adapters(manifest: Manifest, kinds: list[str]) -> str:
    if manifest.dedicated is not None:
        return f"none: it answers by itself, {len(manifest.dedicated.labels)} labels"
    return (
        f"LoRA on {len(manifest.targets)} layers ({', '.join(kinds)}), rank up to"
        f" {manifest.max_rank}, up to {manifest.max_labels} labels"
    )


def _brings(manifest: Manifest) -> list[str] | str:
    if manifest.dedicated is not None:
        return "nothing: it takes none"
    return list(manifest.head.missing) or "nothing but LoRA"


def _rows(
    name: str, task: str, variant: Variant, sizes: dict[str, int | None]
) -> list[tuple[object, ...]]:
    """Return a line for each proof of a variant: against `peft`, and on each provider."""
    size = _graph_bytes(variant, sizes)
    rows: list[tuple[object, ...]] = []
    if variant.parity is not None:
        parity = variant.parity
        rows.append(
            (
                name,
                variant.compute,
                f"peft, {parity.texts} {task}s",
                f"{parity.max_probability_error:.1e}",
                f"{parity.label_agreement:.1%}",
                round(variant.tokens_per_second),
                size,
            )
        )
    rows += [
        (
            name,
            variant.compute,
            f"{provider}, {measured.inputs} of {measured.data}",
            f"{measured.max_probability_error:.1e}",
            f"{measured.label_agreement:.1%}",
            round(measured.tokens_per_second),
            size,
        )
        for provider, measured in sorted(variant.measured.items())
    ]
    return rows


def _graph_bytes(variant: Variant, sizes: dict[str, int | None]) -> int | None:
    """Return the bytes of a graph and of the data beside it."""
    own = [sizes.get(name) for name in (variant.file, f"{variant.file}.data")]
    known = [size for size in own if size is not None]
    return sum(known) if known else None


def _sizes(path: Path, manifest: Manifest) -> dict[str, int | None]:
    return {
        name: (path / name).stat().st_size if (path / name).is_file() else None
        for name in (*manifest.files, MANIFEST)
    }
