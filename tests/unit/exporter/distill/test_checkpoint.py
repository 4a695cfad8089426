from pathlib import Path

import pytest
import torch

from exporter.distill.checkpoint import (
    Checkpoint,
    Checkpoints,
    Progress,
    optimiser_tensors,
    restore_optimiser,
)
from exporter.errors import DistillationFailed


def at(step: int) -> Checkpoint:
    return Checkpoint(
        Progress(step, 1.5, (3.0, 2.0)),
        {"weight": torch.full((2, 2), float(step))},
        {"weight.exp_avg": torch.ones(2, 2)},
    )


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "work")
    assert checkpoints.newest() is None
    checkpoints.save(at(4))
    found = checkpoints.newest()
    assert found is not None
    assert found.progress == Progress(4, 1.5, (3.0, 2.0))
    assert torch.equal(found.model["weight"], torch.full((2, 2), 4.0))
    assert torch.equal(found.optimiser["weight.exp_avg"], torch.ones(2, 2))


def test_the_newest_two_are_kept_and_nothing_is_pickled(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (5, 10, 15, 20):
        checkpoints.save(at(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000000015",
        "checkpoint-000000020",
    ]
    files = {file.name for file in tmp_path.glob("*/*")}
    assert files == {"state.json", "model.safetensors", "optimiser.safetensors"}


@pytest.mark.parametrize("name", ["state.json", "model.safetensors", "optimiser.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(at(5))
    checkpoints.save(at(10))
    file = tmp_path / "checkpoint-000000010" / name
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        middle = len(data) // 2
        file.write_bytes(data[:middle] if damage == "cut" else data[:-9] + b"~" + data[-8:])
    found = checkpoints.newest()
    assert found is not None
    assert found.progress.step == 5
    checkpoints.save(at(10))
    again = checkpoints.newest()
    assert again is not None
    assert again.progress.step == 10


def test_half_a_checkpoint_is_never_taken_for_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(at(5))
    (tmp_path / "checkpoint-000000005").rename(tmp_path / "checkpoint-000000005.part")
    assert checkpoints.newest() is None
    checkpoints.save(at(5))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000000005"]


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file where the folder should be")
    with pytest.raises(DistillationFailed, match="could not be written"):
        Checkpoints(tmp_path / "work").save(at(1))


def test_an_optimiser_continues_as_if_nothing_had_been() -> None:
    def made() -> tuple[dict[str, torch.Tensor], torch.optim.AdamW]:
        weights = {"a": torch.ones(3, requires_grad=True), "b.c": torch.ones(2, requires_grad=True)}
        return weights, torch.optim.AdamW(weights.values(), lr=0.1)

    def step(weights: dict[str, torch.Tensor], optimiser: torch.optim.AdamW, number: int) -> None:
        optimiser.zero_grad()
        sum((w * (number + 1)).square().sum() for w in weights.values()).backward()  # type: ignore[union-attr]
        optimiser.step()

    weights, optimiser = made()
    step(weights, optimiser, 0)
    kept = {name: weight.detach().clone() for name, weight in weights.items()}
    tensors = optimiser_tensors(optimiser, {w: name for name, w in weights.items()})
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    assert set(tensors) == {f"{n}.{k}" for n in weights for k in ("step", "exp_avg", "exp_avg_sq")}
    step(weights, optimiser, 1)
    others, another = made()
    with torch.no_grad():
        for name, weight in others.items():
            weight.copy_(kept[name])
    restore_optimiser(another, tensors, others)
    step(others, another, 1)
    assert all(torch.equal(weights[name], others[name]) for name in weights)
