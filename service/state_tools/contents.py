"""What a backup holds: files below a state directory, by names that can be nothing else."""

import re
from pathlib import Path

from service.engine.lora_config import CONFIG_FILE
from service.engine.safetensors_file import WEIGHTS_FILE
from service.events.keys import KEY_FILE
from service.registry.database import FILE as REGISTRY_FILE
from service.registry.store import IDENTITY_FILE

EVENTS = "events"
STORE = "store"
MANIFEST_FILE = "backup.json"

_ADAPTER_FILES = "|".join(map(re.escape, (IDENTITY_FILE, CONFIG_FILE, WEIGHTS_FILE)))
_NAME = re.compile(
    rf"{re.escape(REGISTRY_FILE)}"
    rf"|{re.escape(KEY_FILE)}"
    rf"|store/adapters/([0-9a-f]{{2}})/\1[0-9a-f]{{62}}/(?:{_ADAPTER_FILES})"
    r"|store/files/([0-9a-f]{2})/\2[0-9a-f]{62}"
    r"|events/[0-9a-f]{8}-[0-9a-f]{16}/[0-9]{8}\.(?:log|open)"
)


def is_content(name: str) -> bool:
    """Return whether a backup may hold a file of this name."""
    return _NAME.fullmatch(name) is not None


def contents_of(folder: Path) -> list[str]:
    """Return the names of everything in a folder that belongs into a backup, sorted."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(filter(is_content, names))
