"""Merging: a base model and one adapter of it become a model that answers by itself.

The adapter is read as the service reads an upload: its config by allow-list, its weights from
safetensors alone. `peft` then gets a folder that holds just what was read, so that nothing in
the original folder is followed or executed, and what it loaded is held against the file.
"""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.numpy import save_file
from transformers import PreTrainedModel

from exporter.backbone import wire
from exporter.banked import Banks
from exporter.class_names import merged_names
from exporter.errors import ProofFailed, UnreadableModel, UnsupportedModel
from exporter.source import LoadedModel, load_model, loaded_for, read_document
from service.engine import digest
from service.engine.errors import InvalidAdapter
from service.engine.findings import Findings
from service.engine.lora_config import CONFIG_FILE, HARMLESS, USED, read_config
from service.engine.safetensors_file import WEIGHTS_FILE, FloatArray, read_tensors

_PREFIX = "base_model.model."
_TOLERANCE = 1e-4  # of a probability, merged against not merged
_PROBES = ("", "refund", "I would like to know where my order is, please.", "and so on " * 40)


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """What an adapter's folder holds, read and judged."""

    path: Path
    config: Mapping[str, object]
    tensors: Mapping[str, FloatArray]
    files: Mapping[str, str]  # name -> digest

    @property
    def modules(self) -> frozenset[str]:
        """Return the modules that it brings whole: `classifier`, `bert.pooler.dense`."""
        names = (name.removeprefix(_PREFIX) for name in self.tensors)
        return frozenset(name.rpartition(".")[0] for name in names if ".lora_" not in name)


def read_adapter_folder(folder: Path) -> AdapterFolder:
    """Read what `save_pretrained` of a `peft` model wrote.

    Raises `UnreadableModel` where a file is missing or cannot be read, and `UnsupportedModel`
    with everything in the config or the weights that a merge must not take.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise UnreadableModel(
                f"{folder} holds no {name}; give the folder that `save_pretrained` of a peft model"
                " wrote, with its weights in safetensors"
            )
    config = read_document(folder / CONFIG_FILE)
    findings = Findings()
    read_config(config, findings)
    try:
        findings.settle()
        tensors = read_tensors(folder / WEIGHTS_FILE)
    except InvalidAdapter as error:
        raise UnsupportedModel(f"{folder} cannot be merged: {error}") from error
    infinite = [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]
    if infinite:
        raise UnsupportedModel(f"{folder}: {infinite[0]} has values that are not finite")
    files = {name: digest.of_file(folder / name) for name in (CONFIG_FILE, WEIGHTS_FILE)}
    return AdapterFolder(folder, config, tensors, files)


def load_merged(
    model: str, adapter: Path, revision: str | None = None, labels: Sequence[str] = ()
) -> LoadedModel:
    """Return the base model with the adapter merged into its weights, its labels in its config.

    `labels` are those of the classes; without them the adapter's folder, or the base, must name
    them. Raises `UnreadableModel`, `UnsupportedModel`, or `ProofFailed` where the merged model
    does not answer as `peft` does without merging.
    """
    folder = read_adapter_folder(adapter)
    base = load_model(model, revision)
    names = merged_names(base.model.config, adapter, labels)
    fresh, lost = loaded_for(base, len(names))
    absent = lost - folder.modules
    tuned = _with_adapter(fresh, folder)
    inputs = _probes(base)
    before = _probabilities(tuned, inputs)
    merged = tuned.merge_and_unload()
    assert isinstance(merged, PreTrainedModel)
    worst = float(np.abs(before - _probabilities(merged, inputs)).max())
    if not worst <= _TOLERANCE:  # NaN, too, is no merge
        raise ProofFailed(
            f"{adapter}: merged into {base.name} it answers otherwise than before: probabilities"
            f" differ by {worst:.1e}, allowed are {_TOLERANCE:.0e}"
        )
    merged.config.id2label = dict(enumerate(names))
    merged.config.label2id = {name: number for number, name in enumerate(names)}
    return replace(
        base,
        model=merged.eval(),
        name=f"{base.name} with {adapter.resolve().name}",
        files={**base.files, **{f"adapter/{name}": of for name, of in folder.files.items()}},
        missing=frozenset(absent),
    )


def _probes(base: LoadedModel) -> list[Mapping[str, torch.Tensor]]:
    """Return a few texts or images as the model takes them."""
    if base.task == "text":
        return [base.tokenizer(text, return_tensors="pt", truncation=True) for text in _PROBES]
    image = wire(base, Banks(frozenset()), None).traits.image
    assert image is not None, "a model of images takes some"
    shape = (1, image.channels, image.height, image.width)
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal(shape, dtype=np.float32) for _ in _PROBES]
    return [{"pixel_values": torch.from_numpy(pixels)} for pixels in drawn]


def _with_adapter(base: PreTrainedModel, folder: AdapterFolder) -> PeftModel:
    """Return the base under `peft`; raise `UnsupportedModel` where it took not all as it is."""
    taken = {key: value for key, value in folder.config.items() if key in USED | HARMLESS}
    taken["base_model_name_or_path"] = None  # nothing is looked up
    with tempfile.TemporaryDirectory(prefix="tenantry-merge-") as made:
        path = Path(made)
        (path / CONFIG_FILE).write_text(json.dumps(taken))
        save_file(dict(folder.tensors), path / WEIGHTS_FILE)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of missing keys, which are refused below
                tuned = PeftModel.from_pretrained(base, made, local_files_only=True)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UnsupportedModel(
                f"{folder.path} does not fit the base model: {error}; is it an adapter of another?"
            ) from error
    assert isinstance(tuned, PeftModel)
    tuned.eval()
    loaded = get_peft_model_state_dict(tuned)
    if set(loaded) != set(folder.tensors):
        odd = sorted(set(loaded) ^ set(folder.tensors))
        more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
        raise UnsupportedModel(
            f"{folder.path}: config and weights do not go together, or belong to another base"
            f" model: {', '.join(odd[:3])}{more}"
        )
    for name, tensor in folder.tensors.items():
        if not np.array_equal(loaded[name].detach().numpy(), tensor):
            raise UnsupportedModel(f"{folder.path}: peft loads {name} otherwise than it is saved")
    return tuned


def _probabilities(
    model: torch.nn.Module, inputs: Sequence[Mapping[str, torch.Tensor]]
) -> FloatArray:
    """Return [texts, labels] float32, asked one by one."""
    with torch.inference_mode():
        rows = [model(**one).logits.softmax(-1)[0].numpy() for one in inputs]
    return np.stack(rows)
