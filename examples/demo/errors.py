"""What the demo raises on purpose.

TenantryError
└── DemoFailed    the demo cannot go on; the message says why
"""

from service.engine.errors import TenantryError


class DemoFailed(TenantryError):
    """The demo cannot go on."""
