"""What `peft` really writes, against what it computes itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from service.engine import lora_config
from service.engine.adapter import Adapter, read_adapter, read_tensors
from service.engine.bundle import Manifest
from service.engine.errors import InvalidAdapter
from tests.fakes.manifests import HIDDEN, INNER, LAYERS, manifest_of
from tests.fakes.packages import labels_of

LABELS = 3


def bert() -> transformers.PreTrainedModel:
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=50,
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            intermediate_size=INNER,
            num_labels=LABELS,
        )
    )


def roberta() -> nn.Module:
    return transformers.RobertaForSequenceClassification(
        transformers.RobertaConfig(
            vocab_size=50,
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            intermediate_size=INNER,
            num_labels=LABELS,
        )
    )


def distilbert() -> nn.Module:
    return transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(
            vocab_size=50,
            dim=HIDDEN,
            n_layers=LAYERS,
            n_heads=2,
            hidden_dim=INNER,
            num_labels=LABELS,
        )
    )


def modernbert() -> nn.Module:
    return transformers.ModernBertForSequenceClassification(
        transformers.ModernBertConfig(
            vocab_size=50,
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            intermediate_size=INNER,
            num_labels=LABELS,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            cls_token_id=1,
            sep_token_id=2,
        )
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "bert": bert,
    "roberta": roberta,
    "distilbert": distilbert,
    "modernbert": modernbert,
}


def saved(family: str, folder: Path, **config: Any) -> PeftModel:
    """Return an adapted model with random weights, saved into the folder."""
    torch.manual_seed(0)
    model = get_peft_model(MODELS[family](), LoraConfig(task_type="SEQ_CLS", **config))
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(str(folder))
    model.eval()
    return model


def read(folder: Path, manifest: Manifest) -> Adapter:
    return read_adapter(
        "sha256:" + "0" * 64,
        json.loads((folder / "adapter_config.json").read_bytes()),
        read_tensors(folder / "adapter_model.safetensors"),
        labels_of(LABELS),
        manifest,
    )


def lora_layers(model: Any) -> list[tuple[str, Any]]:
    return [
        (name, module)
        for name, module in model.get_base_model().named_modules()
        if isinstance(module, peft.tuners.lora.Linear)
    ]


def compare(adapter: Adapter, model: Any, manifest: Manifest) -> None:
    """Hold A, the scaled B and the head against what the model computes with."""
    adapted = set()
    for name, module in lora_layers(model):
        target = name.removeprefix(f"{manifest.encoder}.")
        adapted.add(target)
        a, b = adapter.deltas[target]
        delta = module.get_delta_weight("default").numpy(force=True)
        assert np.allclose((a.T @ b).T, delta, rtol=1e-5, atol=1e-6)
        assert np.array_equal(a, module.lora_A["default"].weight.numpy(force=True))
        x = torch.randn(5, a.shape[1])
        change = module(x) - module.base_layer(x)
        assert np.allclose((x.numpy() @ a.T) @ b, change.numpy(force=True), rtol=1e-4, atol=1e-4)
    assert set(adapter.deltas) == adapted
    assert adapter.rank == max(len(a) for a, _ in adapter.deltas.values())
    state = {
        name.replace(".modules_to_save.default", ""): tensor
        for name, tensor in model.get_base_model().state_dict().items()
        if ".modules_to_save." in name
    }
    assert set(adapter.head) == set(state)
    for name, tensor in state.items():
        assert np.array_equal(adapter.head[name], tensor.numpy(force=True))


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("bert", {}),
        ("bert", {"r": 3, "lora_alpha": 17}),
        ("bert", {"target_modules": ["query", "value"], "use_rslora": True, "r": 5}),
        (
            "bert",
            {
                "target_modules": "all-linear",
                "exclude_modules": ["pooler.dense"],
                "rank_pattern": {"layer.0.attention.self.query": 2, "intermediate.dense": 16},
                "alpha_pattern": {r".*\.layer\.1\..*(key|value)": 32, "^bert.*dense": 3},
                "use_rslora": True,
            },
        ),
        (
            "bert",
            {"target_modules": r".*layer\.[01]\..*(query|key)", "modules_to_save": ["pooler"]},
        ),
        ("bert", {"target_modules": ["key"], "layers_to_transform": [1]}),
        ("bert", {"target_modules": ["key"], "layers_to_transform": 0, "layers_pattern": "layer"}),
        ("bert", {"init_lora_weights": "gaussian"}),
        ("bert", {"init_lora_weights": "orthogonal"}),
        ("bert", {"init_lora_weights": "mica", "r": 2}),
        ("bert", {"init_lora_weights": False, "lora_dropout": 0.3}),
        ("roberta", {}),
        ("roberta", {"target_modules": "all-linear"}),
        ("distilbert", {"target_modules": ["q_lin", "v_lin"]}),
        (
            "distilbert",
            {"target_modules": "all-linear", "modules_to_save": ["pre_classifier", "classifier"]},
        ),
        ("modernbert", {"target_modules": ["Wqkv", "Wo"]}),
        ("modernbert", {"target_modules": "all-linear", "modules_to_save": ["head"]}),
        ("modernbert", {"target_modules": r"model\.layers\.\d+\.mlp\.W[io]", "r": 7}),
    ],
    ids=str,
)
def test_an_adapter_of_peft_gives_what_peft_computes(
    family: str, config: dict[str, Any], tmp_path: Path
) -> None:
    manifest = manifest_of(family)
    model = saved(family, tmp_path, **config)
    compare(read(tmp_path, manifest), model, manifest)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_dtype_that_peft_saves_is_read(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base: Any = bert()
    model: Any = get_peft_model(
        base.to(dtype),
        LoraConfig(task_type="SEQ_CLS", init_lora_weights=False),
        autocast_adapter_dtype=False,
    )
    model.save_pretrained(str(tmp_path))
    adapter = read(tmp_path, manifest_of("bert"))
    for name, module in lora_layers(model):
        a, b = adapter.deltas[name.removeprefix("bert.")]
        assert np.array_equal(a, module.lora_A["default"].weight.float().numpy(force=True))
        assert np.array_equal(b, module.lora_B["default"].weight.float().numpy(force=True).T)


# peft takes the bias of `lora_bias` for a tensor that lost a dimension.
@pytest.mark.filterwarnings("ignore:.*have invalid shape:peft.utils.warning.PeftWarning")
@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"use_dora": True}, "adapter_config.json/use_dora"),
        ({"bias": "lora_only"}, "adapter_config.json/bias"),
        ({"lora_bias": True}, "adapter_config.json/lora_bias"),
        ({"init_lora_weights": "pissa"}, "adapter_config.json/init_lora_weights"),
        ({"init_lora_weights": "olora"}, "adapter_config.json/init_lora_weights"),
        (
            {"trainable_token_indices": {"word_embeddings": [1, 2]}},
            "adapter_config.json/trainable_token_indices",
        ),
        ({"layer_replication": [[0, 2], [1, 2]]}, "adapter_config.json/layer_replication"),
        ({"velora_config": peft.VeloraConfig(num_groups=4)}, "adapter_config.json/velora_config"),
        (
            {"target_modules": ["query", "word_embeddings"]},
            "base_model.model.bert.embeddings.word_embeddings.lora_embedding_A",
        ),
        ({"target_modules": ["dense"]}, "base_model.model.bert.pooler.dense.lora_A.weight"),
        ({"modules_to_save": ["query"]}, "base_model.model.bert.encoder.layer.0.attention.self"),
    ],
    ids=str,
)
def test_what_peft_can_do_and_the_bundle_cannot_is_refused_by_name(
    config: dict[str, Any], where: str, tmp_path: Path
) -> None:
    saved("bert", tmp_path, **config)
    with pytest.raises(InvalidAdapter) as caught:
        read(tmp_path, manifest_of("bert"))
    assert any(where in problem.where for problem in caught.value.problems), caught.value


def test_another_task_of_peft_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = transformers.BertForTokenClassification(bert().config)
    get_peft_model(base, LoraConfig(task_type="TOKEN_CLS")).save_pretrained(str(tmp_path))
    with pytest.raises(InvalidAdapter, match="task_type: must be 'SEQ_CLS'"):
        read(tmp_path, manifest_of("bert"))


def test_each_field_of_peft_was_judged_once() -> None:
    fields = set(LoraConfig(task_type="SEQ_CLS").to_dict()) | {"runtime_config"}
    judged = [*lora_config.USED, *lora_config.HARMLESS, *lora_config.REFUSED]
    assert fields == set(judged)
    assert len(judged) == len(set(judged))
