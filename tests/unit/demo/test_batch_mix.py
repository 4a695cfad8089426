"""The batch mix, read from the service's own metrics."""

import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from examples.demo.batch_mix import batch_mix
from service.metrics import Metrics


def exposed(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_the_mix_is_of_the_passes_between_two_readings() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.batch_ran(texts=50, tokens=512, capacity=512, adapters=9, seconds=1.0)
    before = exposed(metrics)
    metrics.batch_ran(texts=4, tokens=96, capacity=128, adapters=1, seconds=0.01)
    metrics.batch_ran(texts=8, tokens=128, capacity=128, adapters=3, seconds=0.03)
    mix = batch_mix(before, exposed(metrics))
    assert (mix.batches, mix.texts, mix.tokens, mix.adapters) == (2, 6, 112, 2)
    assert mix.mixed == 0.5
    assert mix.fill == pytest.approx(0.875)
    assert mix.seconds == pytest.approx(0.02)


def test_without_a_pass_the_means_are_undefined() -> None:
    reading = exposed(Metrics(CollectorRegistry()))
    mix = batch_mix(reading, reading)
    assert mix.batches == 0
    assert math.isnan(mix.texts)
    assert math.isnan(mix.mixed)
