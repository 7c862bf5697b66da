"""Writes one-node ONNX models byte by byte (onnx.proto), so that the engine's tests need no onnx package."""

from collections.abc import Sequence

FLOAT = 1
"""TensorProto.DataType.FLOAT."""

Shape = Sequence[int | str]
"""Sizes, or names of sizes that are free."""


def one_node_model(
    op_type: str = "Identity",
    *,
    shape: Shape = (1, 1, 8, 8, 8),
    output_shape: Shape | None = None,
    names: tuple[str, str] = ("image", "probabilities"),
    repeat_input: int = 1,
    axis: int | None = None,
) -> bytes:
    """A model of one operator; `repeat_input` gives it its input that many times (Concat)."""
    attributes = b"" if axis is None else _field(5, _text(1, "axis") + _int(3, axis) + _int(20, 2))
    node = b"".join(_text(1, names[0]) for _ in range(repeat_input)) + _text(2, names[1]) + _text(4, op_type)
    graph = _field(1, node + attributes) + _text(2, "tiny")
    graph += _field(11, _value(names[0], shape)) + _field(12, _value(names[1], output_shape or shape))
    return _int(1, 8) + _field(7, graph) + _field(8, _int(2, 17))


def _value(name: str, shape: Shape) -> bytes:
    sizes = b"".join(_field(1, _text(2, size) if isinstance(size, str) else _int(1, size)) for size in shape)
    return _text(1, name) + _field(2, _field(1, _int(1, FLOAT) + _field(2, sizes)))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())
