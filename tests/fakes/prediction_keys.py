"""Signing keys in memory, which a test may rotate."""

from dataclasses import dataclass, field

from service.events.ids import KEY_BYTES, PredictionId, Signer


@dataclass
class FakeSigning:
    """Holds the signer of prediction ids."""

    signer: Signer = field(default_factory=lambda: Signer({0: bytes(KEY_BYTES)}, 0))

    def read(self, text: str) -> PredictionId:
        """Return what an id says; raise `InvalidPredictionId`."""
        return self.signer.read(text)
