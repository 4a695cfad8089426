"""Which modules a LoRA config names: peft's `check_target_module_exists`, for known names.

The tensors of an upload already say what was trained. The config is held against them, because
`peft` goes by the config: it drops tensors of modules that the config does not name, and leaves
named ones without tensors as they were initialised.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.engine.findings import Findings
from service.engine.patterns import Budget, Pattern, UnreadablePattern, compile_pattern

_FILE = "adapter_config.json"
_NAMES_MAX = 8_192
_NAME = re.compile(r"[\w.\-]{1,256}", re.ASCII)
_ALL_LINEAR = "all-linear"  # peft resolves it before it saves; others may not

# A module's name, or some names' ends, or one regular expression.
_Names = Pattern | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModuleChoice:
    """What `target_modules`, `exclude_modules`, `layers_to_transform` and `modules_to_save` say."""

    targeted: _Names | None  # None: the file does not say
    excluded: _Names
    saved: tuple[str, ...]
    layers: frozenset[int]  # empty: all
    layer_lists: tuple[str, ...]  # names of the lists that are counted; empty: any

    def targets(self, module: str) -> bool | None:
        """Say whether peft puts LoRA on a linear layer of the model; None: the file is silent.

        Raises `UnreadablePattern` where a pattern takes too long.
        """
        if _named(self.excluded, module) or any(
            _named(self.saved, path) for path in _with_parents(module)
        ):
            return False
        if self.targeted is None:
            return None
        if isinstance(self.targeted, Pattern):
            return self.targeted.text == _ALL_LINEAR or self.targeted.covers(module)
        if module in self.targeted:
            return True
        return _named(self.targeted, module) and self._in_layers(module)

    def saves(self, module: str) -> bool:
        """Say whether `modules_to_save` names the module or one that holds it.

        peft wraps every module whose name *ends* with one of the names, so that `classifier`
        also names DistilBERT's `pre_classifier`.
        """
        return any(path.endswith(self.saved) for path in _with_parents(module))

    def _in_layers(self, module: str) -> bool:
        if not self.layers:
            return True
        if not self.layer_lists:
            found = re.match(r".*?\.[^.]*\.(\d+)\.", module)
        else:
            tries = (re.match(rf"(?:^|.*?\.){n}\.(\d+)\.", module) for n in self.layer_lists)
            found = next((match for match in tries if match), None)
        return found is not None and int(found[1]) in self.layers


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts) + 1)]


def _named(names: _Names, module: str) -> bool:
    if isinstance(names, Pattern):
        return names.covers(module)
    return any(module == name or module.endswith(f".{name}") for name in names)


def read_choice(
    config: Mapping[str, object], always_saved: Sequence[str], budget: Budget, findings: Findings
) -> ModuleChoice | None:
    """Return what the config names; add problems to `findings` and return None if there are any."""
    before = len(findings)
    targeted = None
    if config.get("target_modules") is not None:
        targeted = _names(config, "target_modules", budget, findings)
    excluded = _names(config, "exclude_modules", budget, findings)
    saved = _list(config, "modules_to_save", findings)
    lists = _list(config, "layers_pattern", findings)
    layers = config.get("layers_to_transform")
    if layers is None:
        layers = []
    elif type(layers) is int:
        layers = [layers]
    if not isinstance(layers, list) or not all(type(layer) is int for layer in layers):
        findings.add(f"{_FILE}/layers_to_transform", "must be an integer or a list of integers")
        return None
    if len(findings) > before:
        return None
    return ModuleChoice(
        targeted=targeted,
        excluded=excluded,
        saved=(*saved, *always_saved),
        layers=frozenset(layers),
        layer_lists=lists,
    )


def _names(config: Mapping[str, object], key: str, budget: Budget, findings: Findings) -> _Names:
    value = config.get(key)
    if not isinstance(value, str) or not value:
        return _list(config, key, findings)
    try:
        return compile_pattern(value, budget)
    except UnreadablePattern as error:
        findings.add(
            f"{_FILE}/{key}",
            f"{value!r:.120} is a pattern that is not read here: it {error}; list the modules'"
            " names instead",
        )
        return ()


def _list(config: Mapping[str, object], key: str, findings: Findings) -> tuple[str, ...]:
    value = config.get(key)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or len(value) > _NAMES_MAX:
        findings.add(f"{_FILE}/{key}", f"must be a list of at most {_NAMES_MAX} names")
        return ()
    wrong = [name for name in value if not (isinstance(name, str) and _NAME.fullmatch(name))]
    for name in wrong:
        findings.add(f"{_FILE}/{key}", f"{name!r:.80} is not the name of a module")
    return tuple(value) if not wrong else ()
