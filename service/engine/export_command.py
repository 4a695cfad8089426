"""The export command that would make a bundle wide enough for an adapter that this one refuses."""

import shlex
from collections.abc import Mapping


def widened(command: str, flags: Mapping[str, str]) -> str:
    """Return the command with other values of some flags, in the form `--flag value`.

    A flag that the command has keeps its place; others come last.
    """
    try:
        words = shlex.split(command)
    except ValueError:  # a quote without its end: someone wrote this command by hand
        words = command.split()
    missing = dict(flags)
    result: list[str] = []
    skip = False
    for i, word in enumerate(words):
        if skip:
            skip = False
            continue
        flag, equals, _ = word.partition("=")
        if flag not in flags:
            result.append(word)
            continue
        skip = not equals and i + 1 < len(words) and not words[i + 1].startswith("--")
        if flag in missing:
            result += [flag, missing.pop(flag)]
    for flag, value in missing.items():
        result += [flag, value]
    return shlex.join(result)
