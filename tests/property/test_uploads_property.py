"""Whatever is done to an upload, it is taken or refused: nothing else happens."""

import gzip
import io
import json
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.engine.adapter import read_tensors
from service.engine.errors import InvalidAdapter
from service.uploads.limits import UploadLimits
from service.uploads.package import open_package
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import CONFIG, WEIGHTS, config_of, files_of, metadata_of, tar_of, zip_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
FILES = files_of(MANIFEST, rank=2)
LIMITS = UploadLimits(unpacked_bytes_max=1 << 20, weights_bytes_max=1 << 19)

Edit = Callable[[bytes], bytes]


@st.composite
def edits(draw: st.DrawFn, size: int) -> Edit:
    """Draw some changes of a text of bytes: replaced, taken out, put in, doubled."""
    changes = draw(
        st.lists(
            st.tuples(
                st.integers(0, size - 1), st.integers(0, 64), st.binary(max_size=16), st.booleans()
            ),
            min_size=1,
            max_size=4,
        )
    )

    def edit(data: bytes) -> bytes:
        for at, length, put, doubled in changes:
            inner = data[at : at + length] if doubled else b""
            data = data[:at] + put + inner + data[at + (length if not doubled else 0) :]
        return data

    return edit


def taken_or_refused(package: bytes, metadata: bytes) -> None:
    try:
        opened = open_package(package, metadata, MANIFEST, BACKBONE, LIMITS)
    except InvalidAdapter as error:
        problems = error.problems
    else:
        assert opened.adapter.labels == opened.metadata.labels
        return
    assert problems
    for problem in problems:
        assert problem.where.isprintable()
        assert problem.what.isprintable()


ARCHIVES = [zip_of(FILES), zip_of(FILES, 0), tar_of(FILES)]


@pytest.mark.parametrize("archive", ARCHIVES, ids=["deflated zip", "stored zip", "tar.gz"])
@given(data=st.data())
def test_a_damaged_archive_is_taken_or_refused(archive: bytes, data: st.DataObject) -> None:
    edit = data.draw(edits(len(archive)))
    taken_or_refused(edit(archive), metadata_of())


@given(edits(2_000))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_tar_inside_of_a_sound_gzip_is_taken_or_refused(edit: Edit) -> None:
    plain = gzip.decompress(ARCHIVES[2])
    taken_or_refused(gzip.compress(edit(plain), 1), metadata_of())


@given(edits(len(FILES[WEIGHTS])))
def test_damaged_weights_are_taken_or_refused(edit: Edit) -> None:
    damaged = edit(FILES[WEIGHTS])
    try:
        tensors = read_tensors(damaged)
    except InvalidAdapter:
        pass
    else:
        assert sum(x.nbytes for x in tensors.values()) <= 2 * len(damaged)
    taken_or_refused(zip_of({**FILES, WEIGHTS: damaged}, 0), metadata_of())


@given(edits(len(FILES[CONFIG])))
def test_a_damaged_config_is_taken_or_refused(edit: Edit) -> None:
    taken_or_refused(zip_of({**FILES, CONFIG: edit(FILES[CONFIG])}, 0), metadata_of())


@given(edits(len(metadata_of())))
def test_a_damaged_metadata_document_is_taken_or_refused(edit: Edit) -> None:
    taken_or_refused(ARCHIVES[1], edit(metadata_of()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "r",
        "lora_alpha",
        "use_rslora",
        "rank_pattern",
        "alpha_pattern",
        "target_modules",
        "exclude_modules",
        "modules_to_save",
        "layers_to_transform",
        "layers_pattern",
        "init_lora_weights",
        "task_type",
        "peft_type",
        "bias",
    ]
)


@given(st.dictionaries(KEYS, JSON, min_size=1, max_size=3))
def test_a_config_of_any_values_is_taken_or_refused(changes: dict[str, object]) -> None:
    config = json.dumps({**config_of(MANIFEST, rank=2), **changes}).encode()
    taken_or_refused(zip_of({**FILES, CONFIG: config}, 0), metadata_of())


@given(st.integers(0, len(FILES[WEIGHTS]) - 1))
def test_weights_that_are_cut_off_anywhere_are_refused(size: int) -> None:
    package = zip_of({**FILES, WEIGHTS: FILES[WEIGHTS][:size]}, 0)
    with pytest.raises(InvalidAdapter, match=WEIGHTS):
        open_package(package, metadata_of(), MANIFEST, BACKBONE, LIMITS)


@given(st.integers(0, 1 << 62), st.integers(0, 7))
def test_a_header_s_length_that_lies_is_refused(length: int, shift: int) -> None:
    weights = bytearray(FILES[WEIGHTS])
    stated = struct.unpack_from("<Q", weights)[0]
    struct.pack_into("<Q", weights, 0, length >> (8 * shift))
    if length >> (8 * shift) == stated:
        return
    with pytest.raises(InvalidAdapter, match=WEIGHTS):
        read_tensors(bytes(weights))


NAMES = st.lists(
    st.sampled_from(
        ["..", ".", "", "a", "/", "\\", "C:", "~", "\n", "\u202e", "é", CONFIG, WEIGHTS, "x" * 255]
    ),
    min_size=1,
    max_size=6,
).map("/".join)
KINDS = st.sampled_from(
    [
        tarfile.REGTYPE,
        tarfile.AREGTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.DIRTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
    ]
)


@given(st.lists(st.tuples(NAMES, KINDS, NAMES, st.binary(max_size=32)), max_size=4))
def test_members_of_any_name_and_kind_are_taken_or_refused(
    members: list[tuple[str, bytes, str, bytes]],
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name, data in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for name, kind, target, data in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, len(data)
            archive.addfile(entry, io.BytesIO(data))
    taken_or_refused(packed.getvalue(), metadata_of())


@given(
    st.lists(st.tuples(NAMES, st.integers(0, 0xFFFF), st.binary(max_size=32)), max_size=4),
    st.sampled_from([0, 3]),
)
def test_zip_entries_of_any_name_and_mode_are_taken_or_refused(
    entries: list[tuple[str, int, bytes]], system: int
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns of the names that it writes twice
        for name, data in FILES.items():
            archive.writestr(name, data)
        for name, mode, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = system, mode << 16
            archive.writestr(entry, data)
    taken_or_refused(packed.getvalue(), metadata_of())


@given(st.one_of(st.binary(max_size=300), JSON.map(lambda value: json.dumps(value).encode())))
def test_a_hold_out_of_anything_is_taken_or_refused(rows: bytes) -> None:
    taken_or_refused(zip_of({**FILES, "holdout.jsonl": rows}, 0), metadata_of())
