"""Choosing what to serve with: what was asked for, what is remembered, or a short measurement.

`tenantry tune` writes what it found where `auto` writes it too, so that there is one memory and
one way to read it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.engine.bundle import Bundle
from service.engine.errors import ProviderUnavailable
from service.engine.execution.provider import AS_IT_COMES, DeviceOptions
from service.engine.providers import PROVIDERS, runnable
from service.engine.tuning.memory import Record, key_of, merged, recall, remember
from service.engine.tuning.search import ANYTHING, Wanted, short
from service.engine.tuning.setup import Setup, default_setup
from service.engine.tuning.trial import Bench, Trial
from service.engine.tuning.workload import random_workload

AUTO = "auto"
_INPUTS = 192  # of the short measurement

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """The setup to serve with, and why."""

    setup: Setup
    reason: str
    remembered: bool = False

    @property
    def provider(self) -> str:
        """Return the provider's name."""
        return self.setup.provider


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses for one bundle on this machine.

    `memory` is the file that remembers what was measured; `slots` is the size of the bank that
    setups are measured with, which is the one that they are served with.
    """

    bundle: Bundle
    memory: Path | None
    slots: int
    wanted: Wanted = ANYTHING
    device: DeviceOptions = AS_IT_COMES
    progress: Callable[[str], None] = field(default=lambda _: None)

    def choose(self) -> Choice:
        """Return the choice.

        Raises `ProviderUnavailable` where nothing that was asked for runs here.
        """
        pairs = pairs_for(self.bundle, self.wanted)
        record = recall(self.memory, key_of(self.bundle))
        known = None if record is None else _known(record, self.wanted, pairs)
        if known is not None:
            return known
        if len(pairs) == 1:
            [(variant, provider)] = pairs
            found = PROVIDERS[provider].find()
            setup = default_setup(variant, provider, self.wanted.threads)
            return Choice(setup, f"asked for: {found}")
        return self._measured(record)

    def choose_again(self, why: str) -> Choice:
        """Return a choice that was measured anew, because the remembered one failed; say so."""
        logger.warning("measuring the providers again: %s", why)
        return self._measured(None)

    def _measured(self, before: Record | None) -> Choice:
        workload = random_workload(self.bundle, _INPUTS)
        bench = Bench(self.bundle, workload, self.slots, self.device)
        found = short(bench, self.wanted, lambda name, *_: self.progress(name))
        if found.best is None:
            raise ProviderUnavailable(
                "; ".join(
                    f"{t.setup.variant} on {t.setup.provider}: {t.words()}"
                    for t in found.trials
                    if self.wanted.allows(t.setup)
                )
            )
        record = merged(before, self.wanted, AUTO, workload.about, found)
        remember(self.memory, key_of(self.bundle), record)
        reason = f"fastest here, {reason_of(found.best, found.trials)}"
        return Choice(found.best.setup, reason)


def pairs_for(bundle: Bundle, wanted: Wanted) -> list[tuple[str, str]]:
    """Return the pairs of (variant, provider) that were asked for.

    Raises `ProviderUnavailable` where there is none, or `InvalidBundle` where the bundle has no
    such variant.
    """
    provider, variant = wanted.provider, wanted.variant
    if provider is not None and provider not in PROVIDERS:
        have = ", ".join([AUTO, *PROVIDERS])
        raise ProviderUnavailable(f"{provider!r} is no provider; there are {have}")
    if variant is not None:
        bundle.model_path(variant)
    if provider is not None:
        PROVIDERS[provider].find()
    pairs = [(v, p) for v, p in runnable(bundle) if variant in (None, v) and provider in (None, p)]
    if not pairs:
        computes = sorted({v.compute for v in bundle.manifest.variants.values()})
        named = "" if variant is None else f" called {variant!r}"
        raise ProviderUnavailable(
            f"{provider or 'no provider'}: it runs none of the bundle's variants{named}, which"
            f" compute in {', '.join(computes)}"
        )
    return pairs


def _known(record: Record, wanted: Wanted, pairs: Sequence[tuple[str, str]]) -> Choice | None:
    """Return the remembered choice, if each of the pairs was measured as it was asked for."""
    allowed = [trial for trial in record.trials if wanted.allows(trial.setup)]
    if not {(t.setup.variant, t.setup.provider) for t in allowed}.issuperset(pairs):
        return None
    usable = [trial for trial in allowed if trial.usable]
    part = next((part for part in record.parts if part.wanted == wanted), None)
    by = record.by if part is None else part.by
    if part is not None:
        best = next((t for t in usable if t.setup == part.best), None)
    elif record.best is not None and wanted.allows(record.best):
        best = next((t for t in usable if t.setup == record.best), None)
    elif wanted.anything:
        return None
    else:
        best = max(usable, key=lambda trial: trial.speed, default=None)
    if best is None:
        return None
    how = "tuned" if by == "tune" else "fastest here"
    reason = f"{how}, {reason_of(best, record.trials)}"
    return Choice(best.setup, reason, remembered=True)


def reason_of(best: Trial, trials: tuple[Trial, ...]) -> str:
    """Return why the best one is: its speed, and of each other pair what was found."""
    others: dict[tuple[str, str], Trial] = {}
    for trial in trials:
        pair = (trial.setup.variant, trial.setup.provider)
        seen = others.get(pair)
        if seen is None or (trial.usable and (not seen.usable or trial.speed > seen.speed)):
            others[pair] = trial
    others.pop((best.setup.variant, best.setup.provider), None)
    words = "; ".join(f"{v} on {p}: {t.words()}" for (v, p), t in others.items())
    setup = best.setup
    return f"{setup.variant} on {setup.provider}: {best.words()}" + (f" ({words})" if words else "")
