"""What TensorRT's parser takes of ONNX, as published, written down as data.

Source: `docs/operators.md` of onnx/onnx-tensorrt for TensorRT 10.15, read on 2026-11-22: the
operators, the types of what they compute with, and the opsets. What the table says beyond that of
single operators is in `exporter/tensorrt/rules.py`. The limit of dimensions is `Dims::MAX_DIMS` of
TensorRT's headers.
"""

VERSION = "10.15"
SOURCE = "onnx-tensorrt, docs/operators.md, TensorRT 10.15"

OPSETS = range(9, 25)
DIMENSIONS_MAX = 8

# Types as ONNX names them; DOUBLE is cast down to FLOAT, and the four-bit and eight-bit ones occur
# only between QuantizeLinear and DequantizeLinear.
FLOATS = frozenset({"FLOAT", "FLOAT16", "BFLOAT16"})
INTEGERS = frozenset({"INT32", "INT64"})
BOOL = frozenset({"BOOL"})
QUANTISED = frozenset({"INT8", "INT4", "FLOAT8E4M3FN", "FLOAT4E2M1"})
KNOWN = FLOATS | INTEGERS | BOOL | QUANTISED | {"UINT8", "DOUBLE"}

_NUMBERS = FLOATS | INTEGERS
_ANY = _NUMBERS | BOOL
_HALVES = frozenset({"FLOAT", "FLOAT16"})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BY_TYPES: tuple[tuple[frozenset[str], str], ...] = (
    (
        FLOATS,
        """
        Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv
        ConvTranspose Cos Cosh CumSum Dropout Einsum Elu Erf Exp Floor Gemm GlobalAveragePool
        GlobalLpPool GlobalMaxPool GroupNormalization GRU HardSigmoid HardSwish Hardmax
        ImageScaler InstanceNormalization IsInf LayerNormalization LeakyRelu Log LogSoftmax LRN
        LSTM LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization ParametricSoftplus
        PRelu QuantizeLinear RandomNormal RandomNormalLike RandomUniform RandomUniformLike
        Reciprocal Resize RMSNormalization RNN RotaryEmbedding Round ScaledTanh Scan Selu Sigmoid
        Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Upsample
        """,
    ),
    (
        _HALVES,
        """
        BlackmanWindow DeformConv GridSample HammingWindow HannWindow Mish NonMaxSuppression
        NonZero RoiAlign
        """,
    ),
    (
        _NUMBERS,
        """
        Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less
        LessOrEqual Max Min Mod Mul Neg Pad Pow Range ReduceL1 ReduceL2 ReduceLogSum
        ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
        Scatter ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum TopK
        """,
    ),
    (
        _ANY,
        """
        Concat Expand EyeLike Flatten Gather GatherElements GatherND Identity If Loop OneHot
        Reshape ReverseSequence Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze
        Where
        """,
    ),
    (_ANY | {"UINT8"}, "Cast CastLike"),
    (_ANY | {"FLOAT8E4M3FN", "FLOAT4E2M1", "INT4"}, "Constant ConstantOfShape"),
    (BOOL, "And Not Or Xor"),
    (QUANTISED, "DequantizeLinear"),
    (FLOATS | {"INT8", "FLOAT8E4M3FN"}, "Attention"),
    (_NUMBERS | {"INT8"}, "Gelu"),
    (_NUMBERS | {"FLOAT8E4M3FN"}, "Mean"),
    (frozenset({"FLOAT"}), "STFT"),
    (FLOATS | {"INT32"}, "TensorScatter"),
)

# By operator, the types of what it computes with.
SUPPORTED: dict[str, frozenset[str]] = {
    operator: types for types, operators in _BY_TYPES for operator in _words(operators)
}

# Listed by the table as not supported. What it does not list is not supported either.
REFUSED = _words(
    """
    AffineGrid Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Col2Im CenterCropPad
    Compress ConcatFromSequence ConvInteger DFT Det DynamicQuantizeLinear ImageDecoder
    MatMulInteger MaxRoiPool MaxUnpool MelWeightMatrix Multinomial NegativeLogLikelihoodLoss
    Optional OptionalGetElement OptionalHasElement QLinearConv QLinearMatMul RegexFullMatch
    SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength
    SequenceMap SoftmaxCrossEntropyLoss SplitToSequence StringConcat StringNormalizer StringSplit
    TfIdfVectorizer Unique
    """
)

# Which inputs an operator computes with, where not with all of them: the others are indices,
# shapes, axes or conditions, which are integers or truth values by ONNX's own definition.
DATA_INPUTS: dict[str, tuple[int, ...]] = dict.fromkeys(
    _words(
        """
        Gather GatherElements GatherND Reshape Expand Slice Split Squeeze Unsqueeze Tile TopK
        Resize Upsample CumSum Trilu ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
        ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare ReverseSequence QuantizeLinear
        DequantizeLinear STFT RotaryEmbedding TensorScatter Dropout NonMaxSuppression
        """
    ),
    (0,),
) | {
    "Where": (1, 2),
    "OneHot": (2,),
    "Pad": (0, 2),
    "Scatter": (0, 2),
    "ScatterElements": (0, 2),
    "ScatterND": (0, 2),
    "RoiAlign": (0, 1),
    "Attention": (0, 1, 2),
    "If": (),
    "Loop": (),
    "Scan": (),
    "ConstantOfShape": (),
    "BlackmanWindow": (),
    "HammingWindow": (),
    "HannWindow": (),
    "GRU": (0, 1, 2, 3, 5),
    "LSTM": (0, 1, 2, 3, 5, 6, 7),
    "RNN": (0, 1, 2, 3, 5),
}

# Whose outputs' types are the ones that the table is about.
BY_OUTPUT = frozenset({"Cast", "CastLike", "Constant", "ConstantOfShape", "EyeLike", "If", "Loop"})

# Whose output's shape depends on values.
DATA_DEPENDENT = frozenset({"NonZero", "NonMaxSuppression"})

# Operators that a shape may be computed with, out of the shapes of tensors and constants (NVIDIA,
# "Dynamic Shapes: Advanced Topics", TensorRT 10.16: concatenation, element-wise, gather, identity,
# reduce, shuffle, slice and their like).
SHAPE_ARITHMETIC = _words(
    """
    Abs Add And Cast Concat ConstantOfShape Div Equal Expand Flatten Gather Greater
    GreaterOrEqual Identity Less LessOrEqual Max Min Mod Mul Neg Not Or Range ReduceMax ReduceMin
    ReduceProd ReduceSum Reshape Sign Slice Split Squeeze Sub Sum Tile Transpose Unsqueeze Where
    """
)

# Which inputs of an operator are shapes, sizes or places along an axis.
SHAPE_INPUTS: dict[str, tuple[int, ...]] = {
    "Reshape": (1,),
    "Expand": (1,),
    "ConstantOfShape": (0,),
    "Tile": (1,),
    "Slice": (1, 2, 4),
    "Range": (0, 1, 2),
    "Pad": (1,),
    "Resize": (2, 3),
    "TopK": (1,),
    "OneHot": (1,),
    "Split": (1,),
}

# Which inputs must be known when the engine is built: operator -> {input: its name}.
CONSTANT_INPUTS: dict[str, dict[int, str]] = {
    **{
        f"Reduce{kind}": {1: "axes"}
        for kind in _words("L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare")
    },
    "CumSum": {1: "axis"},
    "OneHot": {1: "depth"},
    "Squeeze": {1: "axes"},
    "Unsqueeze": {1: "axes"},
    "STFT": {1: "frame_step", 2: "window"},
    "Dropout": {2: "is_training"},
}
