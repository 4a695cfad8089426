"""The model card of a bundle, for people."""

from exporter.precision.card import precision_section
from service.engine.bundle import Manifest


def model_card(manifest: Manifest) -> str:
    """Return Markdown that says what the bundle is, takes and was measured to do."""
    parity = manifest.parity
    one = manifest.task  # text or image
    versions = ", ".join(f"{name} {value}" for name, value in sorted(manifest.versions.items()))
    return (
        f"""# {manifest.source.name}, as a Tenantry bundle

| | |
|---|---|
| architecture | {manifest.source.architecture} (`{manifest.family}`) |
| hidden size | {manifest.hidden_size} |
| revision | {manifest.source.revision} |
| licence | {manifest.licence} |
{_taken(manifest)}
{_answering(manifest)}
| exported | {manifest.exported_at} with {versions} |

Export it again with `{manifest.command}`.

## Proof

{_compared(manifest)}
against `transformers` one {one} at a time:

| | worst | allowed |
|---|---|---|
| probability, absolute | {parity.max_probability_error:.1e} | {parity.tolerance:.0e} |
| embedding, relative | {parity.max_embedding_error:.1e} | {parity.tolerance:.0e} |
| same {one} alone and mixed | {parity.max_neighbour_error:.1e} | {parity.tolerance:.0e} |
| labels that agree | {parity.label_agreement:.1%} | |

{precision_section(manifest)}""".rstrip()
        + "\n"
    )


def _taken(manifest: Manifest) -> str:
    """Return the row that says what is classified."""
    image = manifest.image
    if image is None:
        return f"| texts | up to {manifest.max_length} tokens |"
    return (
        f"| images | made {image.height} x {image.width} pixels of {image.channels} channels; one"
        f" costs {image.tokens} tokens |"
    )


def _kind(path: str) -> str:
    """Return what a layer is called: the last part of its path, and one more where that counts."""
    parts = path.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def _answering(manifest: Manifest) -> str:
    """Return the rows that say who answers: adapters, or the model itself."""
    if manifest.dedicated is not None:
        return f"| answers by itself | {len(manifest.dedicated.labels)} labels; takes no adapters |"
    kinds = sorted({_kind(target.name) for target in manifest.targets})
    missing = ", ".join(f"`{m}`" for m in manifest.head.missing) or "none"
    layers = f"{len(manifest.targets)} layers ({', '.join(kinds)})"
    return f"""| LoRA | {layers}, rank up to {manifest.max_rank} |
| labels | up to {manifest.max_labels} |
| head modules that every adapter must bring | {missing} |"""


def _compared(manifest: Manifest) -> str:
    inputs = f"{manifest.parity.texts} {manifest.task}s"
    mixed = "mixed in shared rows" if manifest.task == "text" else "mixed in shared passes"
    if manifest.dedicated is not None:
        return f"{inputs}, {mixed},"
    made = f"{manifest.parity.adapters} random adapters made by `peft`"
    return f"{inputs}, {made}, {mixed},"
