"""The command that trains, made from a template: words with the event's values put in.

No shell reads it, so nothing in an event can become a command of its own.
"""

import re
from collections.abc import Mapping, Sequence

NAMES = ("adapter", "digest", "event", "id", "reason", "tenant", "version")
_PLACE = re.compile(r"\{([a-z_]*)\}")


def check(template: Sequence[str]) -> None:
    """Raise `ValueError` for a template that is empty or asks for what an event does not have."""
    if not template:
        raise ValueError("no command: give it after `--`")
    for word in template:
        for name in _PLACE.findall(word):
            if name not in NAMES:
                raise ValueError(f"{{{name}}} is not one of {', '.join(NAMES)}")


def filled(template: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return the command's words.

    >>> filled(["train.py", "--adapter={tenant}/{adapter}"], {"tenant": "a", "adapter": "{b}"})
    ['train.py', '--adapter=a/{b}']
    """
    return [_PLACE.sub(lambda found: values[found[1]], word) for word in template]
