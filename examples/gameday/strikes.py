"""What is done on a game day: each breaks one thing."""

import shutil

import numpy as np

from examples.gameday.faulty import NON_FINITE, SLOW_DISK, SLOW_LOAD, SLOW_MODEL, WRONG_CLOCK
from examples.gameday.stack import Stack

_REGISTRY = "registry.sqlite3"
_SLOW_S = 1.5  # for each sync
_STRANGER = 99  # a seed that no tenant's adapter has
_FLOOD, _BUSY = 60.0, 12.0  # requests a second
_SLOW_PASS_S, _PASS_S = 0.8, 0.06
_LOAD_S = 0.02
_STARVED = 0.05  # of a core
_WRONG_S = 600.0  # of a clock


def flood(stack: Stack) -> None:
    """Let one tenant ask far beyond its limit."""
    stack.callers["garage"].habits.requests_per_s = _FLOOD


def break_adapter(stack: Stack) -> None:
    """Make a version live whose outputs are no numbers any more, though its upload passed."""
    tenant = stack.town.tenant("hotel")
    version = stack.operator.upload(tenant, stack.operator.weights(tenant, _STRANGER))
    stack.operator.roll_out(tenant, version.version)
    (stack.faults / NON_FINITE).write_text(version.digest, encoding="ascii")


def roll_out_worse(stack: Stack) -> None:
    """Make a version live that learned something else, and whose hold-out it labelled itself."""
    tenant = stack.town.tenant("bakery")
    weights = stack.operator.weights(tenant, _STRANGER)
    draft = stack.operator.upload(tenant, weights)
    texts = [text for text, _ in tenant.holdout]
    labels = stack.operator.labels(tenant, draft.version, texts)
    holdout = list(zip(texts, labels, strict=True))
    version = stack.operator.upload(tenant, weights, holdout, temperature=1.01)
    stack.operator.roll_out(tenant, version.version)


def roll_out_stranger(stack: Stack) -> None:
    """Give a version that learned something else to half of the callers."""
    tenant = stack.town.tenant("bakery")
    weights = stack.operator.weights(tenant, _STRANGER)
    version = stack.operator.upload(tenant, weights, tenant.holdout)
    stack.operator.roll_out(tenant, 1, canary=(version.version, 50.0))


def swap_the_base(stack: Stack) -> None:
    """Start the service again, with another backbone below the same adapters."""
    stack.restart_service(stack.town.other_bundle().path)


def drift(stack: Stack) -> None:
    """Send one tenant somebody else's mail."""
    stack.callers["florist"].habits.words = "foreign"


def be_busy(stack: Stack) -> None:
    """Let all callers ask more, as the fleet's detector needs many rows in each bucket."""
    for callers in stack.callers.values():
        callers.habits.requests_per_s = _BUSY


def drift_of_all(stack: Stack) -> None:
    """Break what prepares the texts: it loses every space, and nobody labels what comes of it."""
    for callers in stack.callers.values():
        callers.habits.words = "glued"
        callers.habits.labelled = 0.0


def turn_labels(stack: Stack) -> None:
    """Let the people of one tenant judge by new rules."""
    stack.callers["hotel"].habits.turned = True


def lose_calibration(stack: Stack) -> None:
    """Make a version live that answers the same, and is far too sure of it."""
    tenant = stack.town.tenant("library")
    weights = stack.operator.weights(tenant)
    version = stack.operator.upload(tenant, weights, tenant.holdout, temperature=0.1)
    stack.operator.roll_out(tenant, version.version)


def fill_disk(stack: Stack) -> None:
    """Take all the room of the state's file system."""
    assert stack.disk is not None
    stack.disk.fill()


def kill_sidecar(stack: Stack) -> None:
    """Do `kill -9`."""
    stack.sidecar.kill()


def lose_registry(stack: Stack) -> None:
    """Move the registry's database away."""
    away = stack.folder / "away"
    away.mkdir()
    for file in stack.state.glob(f"{_REGISTRY}*"):
        shutil.move(file, away / file.name)


def slow_disk(stack: Stack) -> None:
    """Make every sync of the service wait."""
    (stack.faults / SLOW_DISK).write_text(str(_SLOW_S), encoding="ascii")


def slow_model(stack: Stack) -> None:
    """Make every forward pass take longer than an answer may."""
    (stack.faults / SLOW_MODEL).write_text(str(_SLOW_PASS_S), encoding="ascii")


def be_real_sized(stack: Stack) -> None:
    """Make forward passes take as long as those of a backbone of some size."""
    (stack.faults / SLOW_MODEL).write_text(str(_PASS_S), encoding="ascii")


def send_archives(stack: Stack) -> None:
    """Let one tenant send a thousand texts in a request."""
    habits = stack.callers["cinema"].habits
    habits.texts_at_once, habits.requests_per_s, habits.labelled = 1000, 0.5, 0.0


def read_from_afar(stack: Stack) -> None:
    """Make the reading of adapters take as long as that of some megabytes does."""
    (stack.faults / SLOW_LOAD).write_text(str(_LOAD_S), encoding="ascii")


def prepare_canaries(stack: Stack) -> None:
    """Upload a new version for every tenant, which answers almost as the old one does."""
    read_from_afar(stack)
    for tenant in stack.town.tenants:
        weights = stack.operator.weights(tenant)
        nearly = {name: tensor * np.float32(1.001) for name, tensor in weights.items()}
        stack.operator.upload(tenant, nearly, tenant.holdout)


def begin_canaries(stack: Stack) -> None:
    """Give every tenant's new version to half of its callers, at the same time."""
    for tenant in stack.town.tenants:
        stack.operator.roll_out(tenant, 1, canary=(2, 50.0))


def stop_sending(stack: Stack) -> None:
    """Let the callers of one tenant go home."""
    stack.callers["library"].end()


def break_encoding(stack: Stack) -> None:
    """Decode one tenant's texts with the wrong character set."""
    stack.callers["florist"].habits.words = "mangled"


def send_nothing(stack: Stack) -> None:
    """Rename a field: what one tenant sends is empty."""
    stack.callers["cinema"].habits.words = "empty"


def drift_of_half(stack: Stack) -> None:
    """Send three tenants of six somebody else's mail."""
    for name in ("bakery", "cinema", "florist"):
        stack.callers[name].habits.words = "foreign"


def stop_labels(stack: Stack) -> None:
    """Let nobody of one tenant label any more."""
    stack.callers["cinema"].habits.labelled = 0.0


def hang_sidecar(stack: Stack) -> None:
    """Do `kill -STOP`: it listens, and answers nobody."""
    stack.sidecar.freeze()


def starve_sidecar(stack: Stack) -> None:
    """Leave the sidecar a small part of a core."""
    stack.throttle(stack.sidecar, _STARVED)


def kill_service(stack: Stack) -> None:
    """Do `kill -9`."""
    stack.service.kill()


def hang_service(stack: Stack) -> None:
    """Do `kill -STOP`."""
    stack.service.freeze()


def start_replica(stack: Stack) -> None:
    """Start a second replica."""
    stack.replica = stack.start_replica(stack.town.bundle.path)


def kill_replica(stack: Stack) -> None:
    """Do `kill -9` of one replica of two."""
    stack.replica.kill()


def start_other_replica(stack: Stack) -> None:
    """Start a second replica, with another backbone."""
    stack.start_replica(stack.town.other_bundle().path)


def damage_adapter(stack: Stack) -> None:
    """Damage the stored weights of one tenant's adapter, and start the service again."""
    digest = stack.operator.first_digest(stack.town.tenant("garage"))
    [weights] = stack.state.glob(f"store/adapters/*/{digest.rpartition(':')[2]}/*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-64] + bytes(64))
    stack.restart_service(stack.town.bundle.path)


def overload(stack: Stack) -> None:
    """Let all callers ask far more than the machine does."""
    for callers in stack.callers.values():
        callers.habits.texts_at_once = 300


def set_clock_ahead(stack: Stack) -> None:
    """Set the service's clock ten minutes ahead."""
    (stack.faults / WRONG_CLOCK).write_text(str(_WRONG_S), encoding="ascii")


def set_clock_back(stack: Stack) -> None:
    """Set the service's clock ten minutes back."""
    (stack.faults / WRONG_CLOCK).write_text(str(-_WRONG_S), encoding="ascii")


def open_branches(stack: Stack) -> None:
    """Let two more tenants come than there are series for, and ask something."""
    stack.operator.open_branches(("museum", "nursery"))
