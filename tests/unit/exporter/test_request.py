"""What is asked of an export, and how its result is put in place."""

import itertools
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.card import model_card
from exporter.export import Request
from exporter.parts import put_in_place
from tests.fakes.manifests import manifest_of

DIED = 86


def test_the_command_of_a_request_asks_for_the_same_again() -> None:
    request = Request(
        "a folder/my model",
        Path("/somewhere/else/out put"),
        targets=("query", "value"),
        max_rank=8,
        max_labels=12,
        max_length=99,
        revision="main branch",
        licence="CC BY 4.0",
    )
    words = shlex.split(request.command())
    assert words[:3] == ["tenantry", "export", "a folder/my model"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options == {
        "--out": "out put",
        "--targets": "query,value",
        "--max-rank": "8",
        "--max-labels": "12",
        "--max-length": "99",
        "--revision": "main branch",
        "--licence": "CC BY 4.0",
    }


def test_the_card_says_what_a_person_needs_to_know() -> None:
    manifest = manifest_of("roberta", endings=("query", "value"))
    card = model_card(manifest)
    for words in (
        "roberta",
        "query, value",
        "`classifier.out_proj`",
        "Apache-2.0",
        "up to 64 tokens",
    ):
        assert words in card


def write_part(folder: Path) -> Path:
    part = folder / ".bundle.part-1"
    part.mkdir()
    for name in ("bundle.json", "model.onnx"):
        (part / name).write_text(name)
    return part


def put_dying_in_call(number: int, part: Path, out: Path) -> bool:
    """Put in place in a process that dies instead of its n-th disk call; say if it lived."""
    child = os.fork()
    if not child:
        calls = itertools.count(1)

        def dying(call: Callable[..., Any]) -> Callable[..., Any]:
            def called(*args: Any, **kwargs: Any) -> Any:
                if next(calls) == number:
                    os._exit(DIED)
                return call(*args, **kwargs)

            return called

        for name in ("fsync", "rename", "rmdir", "chmod"):
            setattr(os, name, dying(getattr(os, name)))
        put_in_place(part, out)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != DIED


@pytest.mark.parametrize("exists", [False, True], ids=["new", "an empty folder"])
def test_a_bundle_is_there_whole_or_not_at_all(exists: bool, tmp_path: Path) -> None:
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        part, out = write_part(folder), folder / "bundle"
        if exists:
            out.mkdir()
        lived = put_dying_in_call(number, part, out)
        names = {path.name for path in out.iterdir()} if out.is_dir() else set()
        assert names in (set(), {"bundle.json", "model.onnx"})
        if lived:
            assert names
            assert not part.exists()
            assert number > 4
            return
