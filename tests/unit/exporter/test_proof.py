"""The proof's own parts: which adapters it makes, and what it calls a failure."""

import numpy as np
import pytest

from exporter.proof import TOLERANCE, Reference, adapter_configs, compare
from service.engine.adapter import FloatArray
from tests.fakes.adapters import adapter_of
from tests.fakes.manifests import manifest_of


@pytest.mark.parametrize("max_rank", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("max_labels", [2, 5, 256])
def test_a_proof_asks_no_more_than_the_bundle_takes(max_rank: int, max_labels: int) -> None:
    configs = adapter_configs(manifest_of(max_rank=max_rank, max_labels=max_labels))
    assert configs
    for config in configs:
        ranks = [config["r"], *config.get("rank_pattern", {}).values()]
        assert all(1 <= rank <= max_rank for rank in ranks)
        assert 2 <= config["labels"] <= max_labels
    assert max(config["r"] for config in configs) == max_rank


def test_a_proof_covers_what_uploads_may_bring() -> None:
    configs = adapter_configs(manifest_of(max_labels=256))
    assert any(config.get("use_rslora") for config in configs)
    assert any(config.get("rank_pattern") for config in configs)
    assert any(config.get("alpha_pattern") for config in configs)
    assert len({config["labels"] for config in configs}) == len(configs)
    assert len({len(config["target_modules"]) for config in configs}) > 1


ROWS: list[FloatArray] = [np.array(row, np.float32) for row in ([0.9, 0.1], [0.2, 0.8])]
STATES: list[FloatArray] = [np.array(row, np.float32) for row in ([1.0, -2.0], [0.5, 0.5])]


def compared(
    mixed: list[FloatArray] = ROWS,
    alone: list[FloatArray] = ROWS,
    embeddings: list[FloatArray] = STATES,
) -> tuple[bool, float, float, float, float]:
    reference = Reference(adapter_of(manifest_of(), "a", labels=2), (0, 1), ROWS, STATES)
    parity = compare([reference], mixed, alone, embeddings)
    assert parity.tolerance == TOLERANCE
    return (
        parity.passed,
        parity.max_probability_error,
        parity.max_neighbour_error,
        parity.max_embedding_error,
        parity.label_agreement,
    )


def moved(rows: list[FloatArray], by: float) -> list[FloatArray]:
    return [rows[0], rows[1] + np.array([by, -by], np.float32)]


def test_equal_answers_pass() -> None:
    assert compared() == (True, 0.0, 0.0, 0.0, 1.0)


def test_any_kind_of_difference_fails() -> None:
    assert not compared(mixed=moved(ROWS, 2e-4), alone=moved(ROWS, 2e-4))[0]
    assert not compared(alone=moved(ROWS, 2e-4))[0]
    assert not compared(embeddings=moved(STATES, 2e-4))[0]
    assert compared(embeddings=moved(STATES, 1e-5))[0]


@pytest.mark.parametrize("where", ["mixed", "alone", "embeddings"])
def test_what_is_not_a_number_is_no_agreement(where: str) -> None:
    nothing = [np.full(2, np.nan, np.float32)] * 2
    assert not compared(**{where: nothing})[0]


def test_labels_that_differ_are_counted() -> None:
    assert compared(mixed=[ROWS[0], ROWS[0]])[4] == 0.5
