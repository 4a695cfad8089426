"""What the game day raises on purpose.

TenantryError
└── GameDayFailed    the game day cannot go on; the message says why
"""

from service.engine.errors import TenantryError


class GameDayFailed(TenantryError):
    """The game day cannot go on."""
