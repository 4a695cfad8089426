"""How large an upload may be, in bytes after unpacking."""

from dataclasses import dataclass

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds on one upload; each is named by the problem that it causes."""

    archive_bytes_max: int = 256 * _MIB  # as received
    unpacked_bytes_max: int = 512 * _MIB  # everything that is read of the archive
    members_max: int = 1_000
    config_bytes_max: int = 1 * _MIB
    weights_bytes_max: int = 256 * _MIB
    card_bytes_max: int = 1 * _MIB
    holdout_bytes_max: int = 64 * _MIB
    holdout_rows_max: int = 10_000
    metadata_bytes_max: int = 1 * _MIB
    signature_bytes_max: int = 1 * _MIB
