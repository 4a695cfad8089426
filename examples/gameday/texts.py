"""What the tenants of a game day are asked: texts of one shop's words, and of another's."""

import random
from collections.abc import Sequence

_ORDINARY = """
please send the parcel back before friday my card was charged twice nobody answers phone where is
order when will it come can change address refund wrong size broken box missing invoice late again
thank you for quick help best service ever how much does cost open sunday
"""
# What the same shop gets when something before the service sends it the wrong mail.
_FOREIGN = """
compile kernel module segfault stack trace pointer thread mutex socket packet latency throughput
cache miss branch merge conflict rebase commit patch linker symbol header allocator heap overflow
buffer driver firmware interrupt register opcode assembler
"""
ORDINARY = tuple(dict.fromkeys(_ORDINARY.split()))
FOREIGN = tuple(dict.fromkeys(_FOREIGN.split()))
EVERY_WORD = tuple(dict.fromkeys([*ORDINARY, *FOREIGN]))
_WORDS = (5, 12)


def texts_of(count: int, seed: int, words: Sequence[str] = ORDINARY) -> list[str]:
    """Return texts of the words, drawn from a seed; hardly any two are the same."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randint(*_WORDS))) for _ in range(count)]
