"""Whether this installation can speak gRPC, asked without importing what may be missing."""

from importlib.util import find_spec

from service.errors import InvalidSettings
from service.settings import variable_of


def require_grpc() -> None:
    """Raise `InvalidSettings`, saying what to install, where gRPC's packages are missing."""
    for module in ("grpc", "google.protobuf"):
        if not _there(module):
            raise InvalidSettings(
                f"{variable_of('grpc_port')} is set, and {module} is not installed: pip install"
                " 'tenantry[grpc]'"
            )


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False
