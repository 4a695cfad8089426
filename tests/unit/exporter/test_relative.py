"""Distances of tokens, and the buckets that `transformers` puts them in."""

import pytest
import torch
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from exporter.disentangled import RelationTable
from exporter.relative import RelativeBias, distances, log_buckets, skewed, t5_buckets

FAR = torch.arange(-1023, 1024)


@pytest.mark.parametrize(("buckets", "longest"), [(256, 512), (16, 160), (12, 30), (256, 1024)])
def test_logarithmic_buckets_are_debertas_at_every_distance(buckets: int, longest: int) -> None:
    theirs = make_log_bucket_position(FAR, buckets, longest).to(torch.int64)
    assert torch.equal(log_buckets(FAR, buckets, longest), theirs)


def test_buckets_of_a_bias_are_mpnets_at_every_distance() -> None:
    assert torch.equal(t5_buckets(FAR), MPNetEncoder.relative_position_bucket(FAR))


def test_each_line_is_moved_by_one_against_the_line_before() -> None:
    tokens = 5
    x = torch.randn(2, 3, tokens, 2 * tokens - 1)
    y = skewed(x)
    for i in range(tokens):
        for j in range(tokens):
            assert torch.equal(y[..., i, j], x[..., i, j - i + tokens - 1])


@pytest.mark.parametrize("tokens", [2, 4, 7])
def test_distances_are_places_in_a_table_whose_ends_hold_for_all_beyond(tokens: int) -> None:
    longest = 4
    places = distances(tokens, longest)
    far = [max(-3, min(3, distance)) for distance in range(1 - tokens, tokens)]
    assert places.tolist() == [distance + 3 for distance in far]


def test_a_bias_is_the_heads_number_for_the_distance_from_query_to_key() -> None:
    weight = torch.randn(32, 3)
    bias = RelativeBias(weight, 9)(6)
    for query in range(6):
        for key in range(6):
            bucket = MPNetEncoder.relative_position_bucket(torch.tensor(key - query))
            assert torch.equal(bias[:, query, key], weight[bucket])


@pytest.mark.parametrize("buckets", [0, 8])
def test_relations_are_the_embeddings_of_the_distance_from_query_to_key(buckets: int) -> None:
    reach, longest, tokens = 20, 12, 5
    span = buckets or reach
    embeddings = torch.randn(2 * span, 3)
    before, behind = RelationTable(embeddings, buckets, reach, longest)(tokens)
    for at, distance in enumerate(range(1 - tokens, tokens)):
        there, back = torch.tensor(distance), torch.tensor(-distance)
        if buckets:
            there, back = (make_log_bucket_position(d, buckets, reach) for d in (there, back))
        assert torch.equal(behind.embeddings[at], embeddings[int(there) + span])
        assert torch.equal(before.embeddings[at], embeddings[int(back) + span])
