"""`adapter_config.json`, read by allow-list.

`peft` adds a field to `LoraConfig` with almost every release, and many of them change what the
model answers. So a key is taken only where it is known what it does: it is used here, or it
changes no answer at any value, or it changes none at the value that it has. Every other key is
refused by its name, unless its value is None, False or empty, which is how `peft` writes what was
not asked for. The fields are those of peft 0.21.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.engine.findings import Findings
from service.engine.module_choice import ModuleChoice, read_choice
from service.engine.patterns import Budget, Pattern, UnreadablePattern, compile_pattern

CONFIG_FILE = "adapter_config.json"
PATTERNS_MAX = 1_024

_RANK_MAX = 1_000_000
_ALPHA_MAX = 1e9
_DEFAULT_RANK = 8  # peft's, for a file that does not say
_DEFAULT_ALPHA = 8.0

# Read below, or in `module_choice`.
USED = frozenset(
    {
        "alpha_pattern",
        "exclude_modules",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "modules_to_save",
        "peft_type",
        "r",
        "rank_pattern",
        "target_modules",
        "task_type",
        "use_rslora",
    }
)

# Changes no answer of a trained adapter, whatever its value.
HARMLESS = frozenset(
    {
        "auto_mapping",  # which class `AutoPeftModel` would load
        "base_model_name_or_path",  # never compared nor followed; `backbone_digest` is for that
        "corda_config",  # read by its own `init_lora_weights` only, which is refused
        "eva_config",  # how A was initialised
        "inference_mode",  # what is trainable
        "loftq_config",  # read by its own `init_lora_weights` only, which is refused
        "lora_dropout",  # while training only
        "lora_ga_config",  # read by its own `init_lora_weights` only, which is refused
        "megatron_core",  # read where `megatron_config` is set
        "peft_version",
        "qalora_group_size",  # read where `use_qalora` is set
        "revision",
        "runtime_config",  # where DoRA's initialisation is computed
    }
)

# Changes answers, or may, unless it is None, False or empty (`bias`: or "none").
REFUSED: Mapping[str, str] = {
    "alora_invocation_tokens": "activated LoRA adapts only some of a text's tokens",
    "arrow_config": "Arrow routes between several adapters",
    "bias": "it trains the backbone's biases, which all tenants share; train with bias='none'",
    "ensure_weight_tying": "it ties adapters to embeddings, which cannot be adapted here",
    "fan_in_fan_out": "the backbone's layers store their weights as [out, in]",
    "kasa_config": "KaSA changes the backbone's weights, which all tenants share",
    "layer_replication": "it changes the backbone's layers, which all tenants share",
    "lora_bias": "a bias on lora_B is not served; train with lora_bias=False",
    "megatron_config": "Megatron's parallel layers are not served",
    "monteclora_config": "MonteCLoRA samples its weights",
    "target_parameters": "only linear layers can be adapted, through target_modules",
    "trainable_token_indices": "embeddings are shared by all tenants and cannot be trained",
    "use_bdlora": "block-diagonal LoRA is not served",
    "use_dora": "DoRA rescales the backbone's weights, which all tenants share; train with"
    " use_dora=False",
    "use_qalora": "QALoRA pools the inputs of lora_A",
    "velora_config": "VeLoRA is not served",
}

# Those that leave the backbone's weights alone; pissa, olora, corda, loftq and lora_ga subtract
# the initial adapter from them, so that it makes sense on the altered weights only.
_SAFE_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica"})

_TASK = "SEQ_CLS"
_CLASSIFIERS = ("classifier", "score")  # what peft always saves for that task


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """What of the config decides answers."""

    rank: int
    alpha: float
    rank_stabilised: bool
    ranks: tuple[tuple[Pattern, int], ...]  # the first that matches decides
    alphas: tuple[tuple[Pattern, float], ...]
    choice: ModuleChoice

    def rank_of(self, module: str) -> int:
        """Return the rank of a module of the model (`bert.encoder...`), as peft chooses it."""
        return next((rank for pattern, rank in self.ranks if pattern.ends(module)), self.rank)

    def scale_of(self, module: str) -> float:
        """Return the factor that peft puts before B.

        It is alpha / r, or alpha / sqrt(r) for rsLoRA (Kalajdzievski 2023, arXiv 2312.03732).
        """
        alpha = next((alpha for pattern, alpha in self.alphas if pattern.ends(module)), self.alpha)
        rank = self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)


def canonical_config(config: Mapping[str, object]) -> dict[str, object]:
    """Return the part of a config that changes answers, in one form for all its spellings.

    Which modules are adapted is left out, since the tensors say so. The order of the patterns
    counts: the first that matches decides. Of a config that is not valid it is any document that
    no valid one has.
    """
    return {
        "r": config.get("r", _DEFAULT_RANK),
        "lora_alpha": _as_float(config.get("lora_alpha", _DEFAULT_ALPHA)),
        "use_rslora": config.get("use_rslora") or False,
        "rank_pattern": _pairs(config.get("rank_pattern")),
        "alpha_pattern": _pairs(config.get("alpha_pattern")),
    }


def _pairs(patterns: object) -> object:
    if not isinstance(patterns, dict):
        return patterns or []
    return [(key, _as_float(value)) for key, value in patterns.items()]


def _as_float(value: object) -> object:
    return float(value) if type(value) is int else value


def read_config(config: Mapping[str, object], findings: Findings) -> LoraConfig | None:
    """Return what decides answers; add every problem to `findings` and return None if there is one.

    `config` is the parsed `adapter_config.json`.
    """
    before = len(findings)
    for key, value in config.items():
        if key not in USED and key not in HARMLESS:
            _refuse_unless_off(key, value, findings)
    _check_kind(config, findings)
    _check_init(config.get("init_lora_weights", True), findings)
    budget = Budget()
    rank = _number(config, "r", _DEFAULT_RANK, _is_rank, "an integer of 1 or more", findings)
    alpha = _number(config, "lora_alpha", _DEFAULT_ALPHA, _is_alpha, "a finite number", findings)
    stabilised = config.get("use_rslora") or False
    if not isinstance(stabilised, bool):
        findings.add(f"{CONFIG_FILE}/use_rslora", "must be true or false")
        stabilised = False
    ranks = _patterns(config, "rank_pattern", _is_rank, "an integer of 1 or more", budget, findings)
    alphas = _patterns(config, "alpha_pattern", _is_alpha, "a finite number", budget, findings)
    choice = read_choice(
        config, _CLASSIFIERS if config.get("task_type") == _TASK else (), budget, findings
    )
    if len(findings) > before or choice is None:
        return None
    return LoraConfig(
        rank=int(rank),
        alpha=float(alpha),
        rank_stabilised=stabilised,
        ranks=tuple((pattern, int(value)) for pattern, value in ranks),
        alphas=alphas,
        choice=choice,
    )


def _refuse_unless_off(key: str, value: object, findings: Findings) -> None:
    if value is None or value is False or value in ("", [], {}):
        return
    if key == "bias" and value == "none":
        return
    where = f"{CONFIG_FILE}/{key}"
    if key in REFUSED:
        findings.add(where, f"{value!r:.60} cannot be served: {REFUSED[key]}")
    else:
        findings.add(
            where,
            f"is not known here, and at {value!r:.60} it may change answers; save with a `peft`"
            " that this version knows, or leave the key out if it changes none",
        )


def _check_kind(config: Mapping[str, object], findings: Findings) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        findings.add(f"{CONFIG_FILE}/peft_type", f"must be 'LORA', found {kind!r:.60}")
    task = config.get("task_type")
    if task is not None and task != _TASK:
        findings.add(f"{CONFIG_FILE}/task_type", f"must be {_TASK!r} or null, found {task!r:.60}")


def _check_init(init: object, findings: Findings) -> None:
    if init is None or isinstance(init, bool):
        return
    if not isinstance(init, str) or init.lower() not in _SAFE_INITS:
        findings.add(
            f"{CONFIG_FILE}/init_lora_weights",
            f"{init!r:.60} rewrites the backbone's weights, which all tenants share, or is not"
            " known here; convert the adapter to a plain one with"
            " save_pretrained(path_initial_model_for_weight_conversion=...)",
        )


def _is_rank(value: object) -> bool:
    return type(value) is int and 1 <= value <= _RANK_MAX


def _is_alpha(value: object) -> bool:
    return type(value) in (int, float) and -_ALPHA_MAX <= value <= _ALPHA_MAX  # type: ignore[operator]


def _number(
    config: Mapping[str, object],
    key: str,
    default: float,
    accept: Callable[[object], bool],
    wanted: str,
    findings: Findings,
) -> float:
    value = config.get(key, default)
    if not accept(value):
        findings.add(f"{CONFIG_FILE}/{key}", f"must be {wanted}, found {value!r:.60}")
        return default
    assert isinstance(value, int | float)
    return value


def _patterns(
    config: Mapping[str, object],
    key: str,
    accept: Callable[[object], bool],
    wanted: str,
    budget: Budget,
    findings: Findings,
) -> tuple[tuple[Pattern, float], ...]:
    where = f"{CONFIG_FILE}/{key}"
    patterns = config.get(key) or {}
    if not isinstance(patterns, dict) or len(patterns) > PATTERNS_MAX:
        findings.add(where, f"must map at most {PATTERNS_MAX} patterns to numbers")
        return ()
    read = []
    for text, value in patterns.items():
        if not accept(value):
            findings.add(f"{where}/{text}", f"must be {wanted}, found {value!r:.60}")
            continue
        try:
            read.append((compile_pattern(text, budget), value))
        except UnreadablePattern as error:
            findings.add(f"{where}/{text}", f"is a pattern that is not read here: it {error}")
    return tuple(read)
