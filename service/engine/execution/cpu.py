"""ONNX Runtime's own provider for processors: always there, in fp32 and int8.

It has no kernels of its own for fp16 on x86-64: it would put a cast to fp32 before and after each
operator and say nothing. So fp16 does not run here.
"""

import onnxruntime as ort

from service.engine.bank import HostBank, input_names
from service.engine.execution.provider import Opened, Opening, Provider, Shaping
from service.engine.feed import Layout
from service.engine.sessions import OrtSession

# ONNX Runtime fuses `x + bias + residual` into a CPU kernel for layer norm that is slower than
# the two operators it replaces (docs/concepts/engine.md has the measurement).
_FUSIONS_THAT_LOSE = ["SkipLayerNormFusion"]


def session_options(threads: int) -> ort.SessionOptions:
    """Return the options of a session of ONNX Runtime, on whichever provider."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Spin inside a run, where the next operator is microseconds away, and not between runs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _find() -> str:
    return f"ONNX Runtime {ort.__version__}, CPU"


def _open(opening: Opening) -> Opened:
    session = ort.InferenceSession(
        str(opening.model),
        session_options(opening.threads),
        providers=["CPUExecutionProvider"],
        disabled_optimizers=_FUSIONS_THAT_LOSE,
    )
    manifest = opening.bundle.manifest
    bank = HostBank(manifest, opening.slots)
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in bank.arrays]
    names = input_names(manifest.targets)
    banks = dict(zip(names, values, strict=True))
    return Opened(OrtSession(session, banks), bank, opening.variant.compute)


CPU = Provider(
    "cpu",
    frozenset({"fp32", "int8"}),
    Shaping(Layout(block_tokens=64, column_step=8), (2, 3, 4), 512),
    _find,
    _open,
)
