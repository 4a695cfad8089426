"""The model card of a bundle, for people."""

from service.engine.bundle import Manifest


def model_card(manifest: Manifest) -> str:
    """Return Markdown that says what the bundle is, takes and was measured to do."""
    parity = manifest.parity
    kinds = sorted({target.name.rsplit(".", 1)[1] for target in manifest.targets})
    missing = ", ".join(f"`{m}`" for m in manifest.head.missing) or "none"
    versions = ", ".join(f"{name} {value}" for name, value in sorted(manifest.versions.items()))
    return f"""# {manifest.source.name}, as a Tenantry bundle

| | |
|---|---|
| architecture | {manifest.source.architecture} (`{manifest.family}`) |
| hidden size | {manifest.hidden_size} |
| revision | {manifest.source.revision} |
| licence | {manifest.licence} |
| texts | up to {manifest.max_length} tokens |
| LoRA | {len(manifest.targets)} layers ({", ".join(kinds)}), rank up to {manifest.max_rank} |
| labels | up to {manifest.max_labels} |
| head modules that every adapter must bring | {missing} |
| exported | {manifest.exported_at} with {versions} |

Export it again with `{manifest.command}`.

## Proof

{parity.texts} texts, {parity.adapters} random adapters made by `peft`, mixed in shared rows,
against `transformers` one text at a time:

| | worst | allowed |
|---|---|---|
| probability, absolute | {parity.max_probability_error:.1e} | {parity.tolerance:.0e} |
| embedding, relative | {parity.max_embedding_error:.1e} | {parity.tolerance:.0e} |
| same text alone and mixed | {parity.max_neighbour_error:.1e} | {parity.tolerance:.0e} |
| labels that agree | {parity.label_agreement:.1%} | |
"""
