import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from service.engine.errors import InvalidAdapter
from service.engine.findings import Findings
from service.uploads.archive import Contents, read_archive
from service.uploads.limits import UploadLimits
from tests.fakes.packages import CONFIG, WEIGHTS, tar_of, zip_of

FILES = {CONFIG: b"{}", WEIGHTS: b"weights"}
PACKERS = [zip_of, tar_of]
LIMITS = UploadLimits()

Packer = Callable[[Mapping[str, bytes]], bytes]
both = pytest.mark.parametrize("pack", PACKERS)


def read(source: bytes | Path, limits: UploadLimits = LIMITS) -> Contents:
    findings = Findings()
    contents = read_archive(source, limits, findings)
    findings.settle()
    return contents


def problems_of(source: bytes | Path, limits: UploadLimits = LIMITS) -> dict[str, str]:
    with pytest.raises(InvalidAdapter) as caught:
        read(source, limits)
    return {problem.where: problem.what for problem in caught.value.problems}


def zipped(*entries: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry, data in entries:
            archive.writestr(entry, data)
    return buffer.getvalue()


def tarred(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=format) as archive:
        for entry, data in entries:
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


PLAIN = [(tarfile.TarInfo(name), data) for name, data in FILES.items()]


@both
def test_the_files_of_an_archive_are_read(pack: Packer) -> None:
    assert read(pack(FILES)) == Contents(FILES)


@both
def test_the_files_may_lie_in_one_folder(pack: Packer, tmp_path: Path) -> None:
    path = tmp_path / "package"
    path.write_bytes(pack({f"./my adapter/{name}": data for name, data in FILES.items()}))
    assert read(path) == Contents(FILES)


@both
def test_card_and_holdout_are_kept_and_others_ignored_by_name(pack: Packer) -> None:
    others = {"tokenizer.json": b"{}", "checkpoint-3/adapter_config.json": b"{}", "a/b/c": b""}
    wanted = {**FILES, "README.md": b"# card", "holdout.jsonl": b"{}"}
    contents = read(pack({f"top/{name}": data for name, data in {**wanted, **others}.items()}))
    assert contents.files == wanted
    assert contents.ignored == tuple(sorted(f"top/{name}" for name in others))


@both
def test_files_outside_of_the_folder_of_the_adapter_are_ignored(pack: Packer) -> None:
    files = {f"top/{name}": data for name, data in FILES.items()}
    contents = read(pack({**files, "README.md": b"of the archive", "__MACOSX/README.md": b""}))
    assert contents == Contents(FILES, ("README.md", "__MACOSX/README.md"))


def test_what_other_programs_write_is_read() -> None:
    folder = tarfile.TarInfo("top")
    folder.type = tarfile.DIRTYPE
    long = "top/" + "x" * 150 + "/deeper"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        entries = [(tarfile.TarInfo(f"top/{name}"), data) for name, data in FILES.items()]
        contents = read(
            tarred((folder, b""), *entries, (tarfile.TarInfo(long), b"x" * 700), format=form)
        )
        assert contents == Contents(FILES, (long,))
    ustar = [(tarfile.TarInfo(f"{'d' * 90}/{name}"), data) for name, data in FILES.items()]
    assert read(tarred(*ustar, format=tarfile.USTAR_FORMAT)).files == FILES
    with_folder = zipped((zipfile.ZipInfo("top/"), b""), *((f"top/{n}", FILES[n]) for n in FILES))
    assert read(with_folder).files == FILES


def test_large_members_are_read_whole() -> None:
    data = bytes(range(256)) * 8_000
    for pack in (zip_of, tar_of, lambda files: zip_of(files, zipfile.ZIP_STORED)):
        assert read(pack({**FILES, WEIGHTS: data})).files[WEIGHTS] == data


@both
@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(pack: Packer, missing: str) -> None:
    found = problems_of(pack({name: data for name, data in FILES.items() if name != missing}))
    assert list(found) == [f"package/{missing}"]


@both
def test_two_adapters_in_one_archive_are_refused(pack: Packer) -> None:
    files = {f"{folder}/{name}": data for folder in "ab" for name, data in FILES.items()}
    assert problems_of(pack(files)) == {
        "package": "holds several adapters, in the folders 'a', 'b'"
    }


@both
@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../adapter_config.json",
        "top/../../x",
        "C:/windows/x",
        "a/" * 20 + "x",
    ],
)
def test_names_that_leave_the_archive_are_refused(pack: Packer, name: str) -> None:
    found = problems_of(pack({**FILES, name: b""}))
    assert found == {f"package/{name}": "has a name that leaves the archive"}


@pytest.mark.parametrize("name", ["a\\b", "a\nb", "x" * 600, "a\x1b[31mb"])
def test_names_that_cannot_be_shown_are_refused(name: str) -> None:
    (what,) = problems_of(tar_of({**FILES, name: b""})).values()
    assert "printable characters" in what


@both
def test_pickles_are_refused_each_by_its_name(pack: Packer) -> None:
    names = ["training_args.bin", "optimizer.pt", "a/b/scheduler.PT", "x.pkl", "m.ckpt", "y.pth"]
    found = problems_of(pack({**FILES, **dict.fromkeys(names, b"")}))
    assert set(found) == {f"package/{name}" for name in names}
    assert all("pickle" in what for what in found.values())


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_name_that_occurs_twice_is_refused() -> None:
    twice = zipped(*FILES.items(), (f"./{CONFIG}", b"[]"))
    assert problems_of(twice) == {f"package/./{CONFIG}": "occurs twice"}
    twice = tarred(*PLAIN, (tarfile.TarInfo(CONFIG), b"[]"))
    assert problems_of(twice) == {f"package/{CONFIG}": "occurs twice"}


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(mode: int) -> None:
    entry = zipfile.ZipInfo("top/x")
    entry.external_attr = (mode | 0o777) << 16
    found = problems_of(zipped(*FILES.items(), (entry, b"/etc/passwd")))
    assert list(found) == ["package/top/x"]
    assert "plain files only" in found["package/top/x"]


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"],
)
def test_links_and_devices_in_a_tar_are_refused(kind: bytes) -> None:
    found = problems_of(tarred(*PLAIN, (link("x", "/etc/passwd", kind), b"")))
    assert list(found) == ["package/x"]
    assert "plain files only" in found["package/x"]


def test_a_link_in_place_of_a_wanted_file_is_refused() -> None:
    found = problems_of(tarred(PLAIN[0], (link(WEIGHTS, "/etc/passwd"), b"")))
    assert "link" in found[f"package/{WEIGHTS}"]


def test_sparse_files_are_refused() -> None:
    entry = tarfile.TarInfo(WEIGHTS)
    entry.pax_headers = {"GNU.sparse.realsize": str(1 << 60), "GNU.sparse.major": "1"}
    found = problems_of(tarred(PLAIN[0], (entry, b"x")))
    assert "sparse file" in found[f"package/{WEIGHTS}"]


def test_an_encrypted_member_is_refused() -> None:
    data = bytearray(zip_of(FILES, zipfile.ZIP_STORED))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    assert problems_of(bytes(data)) == {f"package/{CONFIG}": "cannot be read: it is encrypted"}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(method: int) -> None:
    found = problems_of(zip_of(FILES, method))
    assert set(found) == {f"package/{name}" for name in FILES}
    assert all("another way than by deflate" in what for what in found.values())


@pytest.mark.parametrize("stated", [0, 3, 8, 1 << 20])
def test_a_size_that_lies_is_refused(stated: int) -> None:
    data = bytearray(zip_of(FILES))
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    struct.pack_into("<L", data, at + 24, stated)
    found = problems_of(bytes(data))
    assert list(found) == [f"package/{WEIGHTS}"]


def test_a_checksum_that_is_wrong_is_refused() -> None:
    data = zip_of(FILES, zipfile.ZIP_STORED).replace(b"weights", b"Weights")
    assert problems_of(data) == {f"package/{WEIGHTS}": "cannot be read: its checksum is wrong"}
    packed = bytearray(tar_of(FILES))
    packed[-6] ^= 1  # in gzip's own checksum
    assert "cannot be unpacked" in problems_of(bytes(packed))["package"]


def test_names_that_differ_between_directory_and_place_are_refused() -> None:
    data = bytearray(zip_of(FILES))
    at = data.index(CONFIG.encode())
    data[at : at + 3] = b"xxx"
    assert "another name" in problems_of(bytes(data))[f"package/{CONFIG}"]


@both
def test_a_bomb_is_refused_before_it_is_unpacked(pack: Packer) -> None:
    limits = UploadLimits(weights_bytes_max=1_000_000, unpacked_bytes_max=3_000_000)
    found = problems_of(pack({**FILES, WEIGHTS: b"\0" * 2_000_000}), limits)
    assert found == {f"package/{WEIGHTS}": "has 2,000,000 bytes, the limit is 1,000,000"}


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    data = bytearray(zip_of({**FILES, WEIGHTS: b"\0" * 2_000_000}))
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    struct.pack_into("<L", data, at + 24, 10)
    found = problems_of(bytes(data))
    assert found == {f"package/{WEIGHTS}": "unpacks to more than the 10 bytes that are stated"}


@both
def test_all_that_is_read_is_bounded_together(pack: Packer) -> None:
    limits = UploadLimits(unpacked_bytes_max=1_000_000)
    files = {f"{i}/holdout.jsonl": b"\0" * 300_000 for i in range(5)}
    assert (
        "unpacks to more than 1,000,000 bytes"
        in problems_of(pack({**FILES, **files}), limits)["package"]
    )


def test_ignored_members_of_a_tar_count_too() -> None:
    limits = UploadLimits(unpacked_bytes_max=1_000_000)
    assert (
        "more than 1,000,000"
        in problems_of(tar_of({**FILES, "x": b"\0" * 2_000_000}), limits)["package"]
    )


@both
def test_the_number_of_members_is_bounded(pack: Packer) -> None:
    limits = UploadLimits(members_max=10)
    (what,) = problems_of(pack({**FILES, **{f"x{i}": b"" for i in range(9)}}), limits).values()
    assert "members" in what


@both
def test_the_archive_itself_is_bounded(pack: Packer) -> None:
    limits = UploadLimits(archive_bytes_max=50)
    assert "the limit is 50" in problems_of(pack(FILES), limits)["package"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither a zip nor a tar.gz"),
        (b"PK", "neither a zip nor a tar.gz"),
        (b"7z\xbc\xaf\x27\x1c", "neither a zip nor a tar.gz"),
        (b"PK\x03\x04" + b"\0" * 100, "no directory"),
        (b"PK\x05\x06" + b"\0" * 18, "missing"),
        (zip_of(FILES)[:-30], "no directory"),
        (b"\x1f\x8b\x08", "cut off"),
        (b"\x1f\x8b" + b"\xff" * 50, "cannot be unpacked"),
        (tar_of(FILES)[:60], "cut off"),
        (gzip.compress(b"not a tar archive" * 100), "checksum is wrong"),
        (gzip.compress(b""), "missing"),
    ],
    ids=[
        "nothing",
        "two letters",
        "another archiver's",
        "zip without a directory",
        "empty zip",
        "zip cut off",
        "gzip cut off",
        "gzip of nonsense",
        "tar.gz cut off",
        "gzip of no tar",
        "gzip of nothing",
    ],
)
def test_what_is_no_archive_is_refused(data: bytes, reason: str) -> None:
    assert any(reason in what for what in problems_of(data).values())


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """Return a tar header with a right checksum."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257:263] = b"ustar\0"
    block[148:155] = b"%06o\0" % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (header(b"x", b"\xff" * 12), "negative"),
        (header(b"x", b"\x80" + b"\xff" * 11), "more than 8 GiB"),
        (header(b"x", b"77777777777"), "cut off"),
        (header(b"x", b"-1"), "a number that is none"),
        (header(b"x", b"9"), "a number that is none"),
        (header(b"x", b"77777777777", b"x"), "extended header has"),
        (header(b"x", b"77777777777", b"L"), "extended header has"),
        (header(b"x", b"10", b"x") + b"8 a=b".ljust(512, b"\0"), "extended header is broken"),
        (header(b"x", b"10", b"x") + b"99 a=b\n ".ljust(512, b"\0"), "extended header is broken"),
        (header(b"x", b"10", b"x") + b"0 a=bbb\n".ljust(512, b"\0"), "extended header is broken"),
        (header(b"x", b"10", b"x") + b"abcdefgh".ljust(512, b"\0"), "extended header is broken"),
        (
            (header(b"x", b"200000", b"x") + (b"9 a=bbb\n" * 8193)[:65536]) * 100,
            "broken",
        ),
        ((header(b"x", b"0", b"x")) * 9_000, "too long together"),
        (
            header(b"x", b"13", b"x") + b"11 size=-5\n".ljust(512, b"\0") + header(b"y", b"0"),
            "a number that is none",
        ),
        (header(b"\xff", b"0"), "not UTF-8"),
    ],
)
def test_tar_headers_that_lie_are_refused(data: bytes, reason: str) -> None:
    (what,) = problems_of(gzip.compress(data + b"\0" * 1024)).values()
    assert reason in what


def test_a_pax_size_overrides_the_header() -> None:
    record = b"12 size=700\n"
    data = header(b"x", b"14", b"x") + record.ljust(512, b"\0") + header(b"y", b"0") + b"y" * 1024
    for name, content in FILES.items():
        data += header(name.encode(), b"%o" % len(content)) + content.ljust(512, b"\0")
    assert read(gzip.compress(data + b"\0" * 1024)) == Contents(FILES, ("y",))


def directory(**changes: int) -> bytes:
    """Return a zip archive whose end of directory has other numbers."""
    data = bytearray(zip_of(FILES))
    at = data.index(b"PK\x05\x06")
    places = {
        "disk": (4, "<H"),
        "here": (8, "<H"),
        "count": (10, "<H"),
        "size": (12, "<L"),
        "start": (16, "<L"),
    }
    for key, value in changes.items():
        offset, form = places[key]
        struct.pack_into(form, data, at + offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (directory(disk=1), "several volumes"),
        (directory(here=1), "several volumes"),
        (directory(count=3, here=3), "broken"),
        (directory(count=1, here=1), "does not end"),
        (directory(count=0xFFFF, here=0xFFFF), "ZIP64"),
        (directory(start=0xFFFFFFFF), "ZIP64"),
        (directory(size=5 << 20), "directory has 5,242,880 bytes"),
        (directory(start=1 << 20), "outside"),
        (directory(start=1), "broken"),
    ],
)
def test_zip_directories_that_lie_are_refused(data: bytes, reason: str) -> None:
    assert any(reason in what for what in problems_of(data).values())


@pytest.mark.parametrize(
    ("offset", "form", "value", "reason"),
    [
        (42, "<L", 5, "points at no member"),
        (42, "<L", 1 << 30, "points at no member"),
        (20, "<L", 1 << 20, "reaches beyond"),
        (20, "<L", 3, "cut off"),
        (20, "<L", 0xFFFFFFFF, "ZIP64"),
        (10, "<H", 0, "stated"),
    ],
)
def test_zip_entries_that_lie_are_refused(offset: int, form: str, value: int, reason: str) -> None:
    data = bytearray(zip_of(FILES))
    struct.pack_into(form, data, data.index(b"PK\x01\x02") + offset, value)
    found = problems_of(bytes(data))
    assert list(found) == [f"package/{CONFIG}"]
    assert reason in found[f"package/{CONFIG}"]


def test_packed_bytes_that_are_broken_are_refused() -> None:
    data = bytearray(zip_of({**FILES, WEIGHTS: zlib.compress(bytes(1000)) * 20}))
    at = data.index(WEIGHTS.encode()) + len(WEIGHTS)
    data[at : at + 10] = b"\xff" * 10
    assert "cannot be" in problems_of(bytes(data))[f"package/{WEIGHTS}"]
