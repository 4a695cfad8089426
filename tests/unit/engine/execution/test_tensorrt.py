"""TensorRT: what is missing is named, profiles cover the grid, engines are kept by their key."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort
import pytest

from service.engine.bundle import Bundle, ImageInput
from service.engine.errors import ProviderUnavailable
from service.engine.execution import tensorrt
from service.engine.execution.cuda import CUDA, cuda_options, find_cuda, open_on_device
from service.engine.execution.profiles import profile_of
from service.engine.execution.provider import DeviceOptions, Opening, Shaping
from service.engine.execution.tensorrt import (
    cache_options,
    engine_folder,
    engine_key,
    find_tensorrt,
    tensorrt_options,
    tensorrt_version,
)
from service.engine.feed import Layout, Lease, make_feed
from service.engine.inputs import graph_inputs
from service.engine.packing import Shape, plan
from service.engine.tokens import Tokens
from tests.fakes.adapters import adapter_of
from tests.fakes.device import HostDevice
from tests.fakes.libraries import Inference, loader
from tests.fakes.manifests import BACKBONE, manifest_of

SMALL = Shaping(Layout(block_tokens=32, column_step=16, static=True), (2, 4), 512)
BUNDLE = Bundle(Path("nowhere"), BACKBONE, manifest_of(max_rank=4), {})
VERSIONS = {"gpu": "NVIDIA H100", "driver": "13000", "tensorrt": "10.13.2"}


def opening(slots: int = 8, **device: object) -> Opening:
    options = DeviceOptions(**device)  # type: ignore[arg-type]
    return Opening(BUNDLE, "fp32", SMALL, slots, 1, options)


def built_for(monkeypatch: pytest.MonkeyPatch, *providers: str) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: list(providers))


def test_the_version_is_read_from_the_library() -> None:
    assert tensorrt_version(loader(libnvinfer=Inference(101302))) == "10.13.2"


def test_a_missing_library_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    built_for(monkeypatch, "TensorrtExecutionProvider", "CPUExecutionProvider")
    message = r"libnvinfer\.so\.10 cannot be loaded; install TensorRT 10 .* LD_LIBRARY_PATH"
    with pytest.raises(ProviderUnavailable, match=message):
        find_tensorrt(loader())
    assert "TensorRT 10.13.2" in find_tensorrt(loader(libnvinfer=Inference(101302)))


def test_an_onnx_runtime_without_gpu_says_which_extra_brings_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built_for(monkeypatch, "CPUExecutionProvider")
    for find in (find_cuda, find_tensorrt):
        with pytest.raises(ProviderUnavailable, match=r"pip install 'tenantry\[gpu\]'"):
            find()


def dimensions(words: str) -> dict[str, tuple[int, ...]]:
    pairs = (each.rsplit(":", 1) for each in words.split(","))
    return {name: tuple(map(int, sizes.split("x"))) for name, sizes in pairs}


def profile(options: Mapping[str, str]) -> tuple[dict[str, tuple[int, ...]], ...]:
    return tuple(dimensions(options[f"trt_profile_{end}_shapes"]) for end in ("min", "opt", "max"))


def within(
    shapes: Mapping[str, tuple[int, ...]],
    least: Mapping[str, tuple[int, ...]],
    most: Mapping[str, tuple[int, ...]],
) -> bool:
    return all(
        low <= size <= high
        for name, sizes in shapes.items()
        for size, low, high in zip(sizes, least[name], most[name], strict=True)
    )


def test_every_shape_that_a_feed_can_have_lies_within_the_profile() -> None:
    """A shape outside would make the server build another engine, for minutes, in a request."""
    least, best, most = profile(tensorrt_options(opening(slots=8), 0))
    names = graph_inputs(BUNDLE.manifest)
    assert within(best, least, most)
    grid = SMALL.grid(BUNDLE)
    adapter = adapter_of(BUNDLE.manifest, "a", rank=4)
    for shape in grid.shapes:
        for length in {1, 2, 7, shape.tokens}:
            count = shape.rows * (shape.tokens // length)
            planned = plan([length] * count, [i % 8 for i in range(count)], grid, 8)
            texts = [Tokens([5] * length, None, False, 0)] * count
            leases = [Lease(4 * (number + 1), adapter.rank) for number in range(8)]
            numbers = [i % 8 for i in range(count)]
            feed = make_feed(planned, texts, numbers, leases, 0, SMALL.layout)
            shapes = {name: array.shape for name, array in feed.inputs(names).items()}
            assert within(shapes, least, most), (shape, length, shapes)


def test_the_ends_of_the_profile_are_shapes_of_the_grid() -> None:
    least, best, most = profile(tensorrt_options(opening(), 0))
    shapes = SMALL.grid(BUNDLE).shapes
    assert Shape(*least["ids"]) in shapes
    assert Shape(*best["ids"]) == max(SMALL.grid(BUNDLE).by_row[0], key=lambda s: s.capacity)
    assert most["ids"] == (max(s.rows for s in shapes), max(s.tokens for s in shapes))


def test_the_bank_has_one_shape() -> None:
    found = profile(tensorrt_options(opening(slots=8), 0))
    name = f"A.{BUNDLE.manifest.targets[0].name}"
    assert [each[name] for each in found] == [(36, 16)] * 3


def test_a_profile_of_images_names_their_pixels_and_no_owners() -> None:
    image = ImageInput(channels=3, height=8, width=6, tokens=64)
    manifest = manifest_of(max_rank=4).model_copy(update={"image": image, "task": "image"})
    bundle = Bundle(Path("nowhere"), BACKBONE, manifest, {})
    found = profile_of(bundle, SMALL, 8, graph_inputs(manifest))
    assert found.least["pixels"] == (1, 3, 8, 6)
    assert found.most["pixels"] == (8, 3, 8, 6)
    assert found.most["columns"][0] == 8
    assert {"owners", "ids"}.isdisjoint(found.most)


def test_options_follow_the_variant_and_what_the_operator_set() -> None:
    options = tensorrt_options(opening(memory_bytes_max=1 << 30, cuda_graphs=True), 4096)
    assert options["trt_fp16_enable"] == "0"
    assert options["trt_max_workspace_size"] == str(1 << 30)
    assert options["trt_cuda_graph_enable"] == "1"
    assert options["user_compute_stream"] == "4096"
    plain = tensorrt_options(opening(), 4096)
    assert plain["trt_cuda_graph_enable"] == "0"
    assert "trt_max_workspace_size" not in plain


def test_a_half_variant_is_built_in_half() -> None:
    half = BUNDLE.manifest.variants["fp32"].model_copy(update={"compute": "fp16", "bank": "fp16"})
    manifest = BUNDLE.manifest.model_copy(update={"variants": {"fp16": half}})
    made = Opening(Bundle(Path("nowhere"), BACKBONE, manifest, {}), "fp16", SMALL, 8, 1)
    options = tensorrt_options(made, 0)
    assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == ("1", "0")


def test_what_is_called_fp32_on_cuda_is_no_tf32_and_a_limit_is_passed_on() -> None:
    options = cuda_options(DeviceOptions(memory_bytes_max=5), 4096)
    assert options["use_tf32"] == "0"
    assert options["gpu_mem_limit"] == "5"
    assert options["enable_cuda_graph"] == "0"
    assert options["user_compute_stream"] == "4096"
    assert "gpu_mem_limit" not in cuda_options(DeviceOptions(), 0)
    assert cuda_options(DeviceOptions(cuda_graphs=True), 0)["enable_cuda_graph"] == "1"


def test_an_engines_key_changes_with_whatever_the_engine_depends_on() -> None:
    options = tensorrt_options(opening(), 4096)

    def key(**changed: object) -> dict[str, object]:
        given = {
            "bundle": BUNDLE,
            "variant": "fp32",
            "options": options,
            "versions": VERSIONS,
        } | changed
        return engine_key(**given)  # type: ignore[arg-type]

    others = [
        key(bundle=Bundle(Path("nowhere"), "sha256:other", BUNDLE.manifest, {})),
        key(variant="fp16"),
        key(versions=VERSIONS | {"gpu": "NVIDIA A10"}),
        key(versions=VERSIONS | {"driver": "12080"}),
        key(versions=VERSIONS | {"tensorrt": "10.14.0"}),
        key(options=tensorrt_options(opening(slots=9), 4096)),
    ]
    assert all(other != key() for other in others)
    assert key(options=tensorrt_options(opening(), 8192)) == key(), "a stream is no property"


def test_engines_are_kept_in_a_folder_of_their_key_and_old_ones_go(tmp_path: Path) -> None:
    folders = []
    for number in range(6):
        folder = engine_folder(tmp_path, {"number": number})
        (folder / "engine").write_bytes(b"x")
        os.utime(folder / "key.json", (number, number))
        folders.append(folder)
    assert [folder.is_dir() for folder in folders] == [False, False, True, True, True, True]
    assert engine_folder(tmp_path, {"number": 3}) == folders[3]
    assert (folders[3] / "engine").is_file()
    (tmp_path / "not-ours").mkdir()
    engine_folder(tmp_path, {"number": 7})
    assert (tmp_path / "not-ours").is_dir()


def test_caches_are_on_where_there_is_a_folder_for_them(tmp_path: Path) -> None:
    assert cache_options(None) == {}
    options = cache_options(tmp_path)
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)


class Session:
    """A session that started these providers."""

    started: tuple[str, ...] = ()

    def __init__(self, model: str, options: object, providers: list[object]) -> None:
        assert model.endswith("model.fp32.onnx")
        assert options is not None
        self.asked = providers

    def disable_fallback(self) -> None:
        return

    def get_providers(self) -> list[str]:
        return list(self.started)


def test_a_provider_that_onnx_runtime_could_not_start_is_not_replaced_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ort, "InferenceSession", Session)
    monkeypatch.setattr(Session, "started", ("CPUExecutionProvider",))
    with pytest.raises(ProviderUnavailable, match=r"CUDAExecutionProvider: .* could not start"):
        open_on_device(opening(), [("CUDAExecutionProvider", {})], HostDevice(), graphs=False)


def test_tensorrt_shares_the_shapes_of_cuda_and_is_never_imported() -> None:
    assert tensorrt.TENSORRT.shaping == CUDA.shaping
    assert "tensorrt" not in sys.modules
