"""The language between the trusted process and a submission's process: data, never code.

A message is one frame: a fixed prefix (magic, length of the header, length of the payload), a msgpack header, and the
memory of its tensors in the format of safetensors, by number. The receiving side checks both lengths before it reads
on, and every shape, stride and offset before it lays a tensor over its memory; it raises `ProtocolError` for everything
else. Nothing in a frame can name a class or a function: specifications of networks and steps are plain fields, and an
object of any other kind crosses as an `Opaque`, by the name of its type.

Values are msgpack's own nil, boolean, float and string, or an array whose first element is a tag:
`["i", digits]`, `["l" | "t", items...]`, `["d", keys, items]`, `["T", [number, shape, strides, offset, device]]`,
`["o", type name, content]`, and `["S", kind, fields]` for specifications (towards the submission only).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from pset4.checks.calling.outcome import Opaque
from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, StepSpec

MAGIC = b"PS4\x01"
PREFIX = struct.Struct("<4sIQ")
MAX_HEADER = 4_000_000
MAX_TENSOR_HEADER = 2_000_000  # about 30,000 tensors
MAX_NODES = 100_000
MAX_DEPTH = 8
MAX_STRING = 3_000_000
MAX_DIGITS = 1_000
MAX_DIMENSIONS = 8

DTYPES: dict[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
        *(torch.complex64, torch.complex128),
    )
}
DEVICES = ("cpu", "cuda", "mps")


class ProtocolError(Exception):
    """The other side sent something that is not a message."""


class Packer:
    """Turns values into the header's form and collects the memory of their tensors.

    Args:
        layouts: Keep strides and offsets (what the trusted side sends); otherwise tensors are sent contiguous.
    """

    def __init__(self, *, layouts: bool = False) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._nodes = 0
        self._layouts = layouts

    def pack(self, value: Any) -> Any:
        """The header's form of a value; objects of unknown kinds become their type's name.

        Raises:
            ProtocolError: If there are more values than a message may hold.
        """
        kind = type(value)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ProtocolError(f"it holds more than {MAX_NODES} values")
        if value is None or _is_one(kind, bool, float):
            return value
        if kind is str:
            return value[:MAX_STRING].encode("utf-8", "replace").decode()
        if kind is int:
            # Python refuses to print longer ones, and no exercise asks for them.
            return ["i", str(value)] if value.bit_length() < 3 * MAX_DIGITS else ["o", "int of more than 900 digits"]
        if _is_one(kind, list, tuple):
            return ["l" if kind is list else "t", *(self.pack(item) for item in value)]
        if kind is dict:
            return ["d", [self.pack(key) for key in value], [self.pack(item) for item in value.values()]]
        if _is_one(kind, Tensor, nn.Parameter):  # a subclass decides itself what its methods do
            return self._tensor(value)
        if _is_one(kind, NetworkSpec, FeaturesSpec, StepSpec):
            return self._spec(value)
        if kind is Opaque:
            return ["o", value.type_name[:60], self.pack(value.content)]
        return ["o", _name_of(kind)]

    def _tensor(self, tensor: Tensor) -> Any:
        tensor = tensor.detach()
        name = str(tensor.dtype).removeprefix("torch.")
        if tensor.layout is not torch.strided or name not in DTYPES or tensor.device.type not in DEVICES:
            return ["o", f"{tensor.layout} {name} tensor on {tensor.device.type}"[:60]]
        if tensor.dim() > MAX_DIMENSIONS:
            return ["o", f"tensor of {tensor.dim()} dimensions"]
        tensor = tensor.resolve_conj().resolve_neg()
        if not self._layouts:
            tensor = tensor.contiguous()
        shape, strides = list(tensor.shape), list(tensor.stride())
        span, place = _span(shape, strides), int(tensor.storage_offset())
        # One element in front survives as an offset: code that ignores `storage_offset` is then still wrong.
        offset = min(place, 1) if self._layouts and span else 0
        memory = tensor.as_strided((offset + span,), (1,), place - offset).to("cpu", copy=True)
        key = str(len(self.tensors))
        self.tensors[key] = torch.view_as_real(memory) if memory.is_complex() else memory
        return ["T", [key, shape, strides, offset, tensor.device.type]]

    def _spec(self, spec: NetworkSpec | FeaturesSpec | StepSpec) -> Any:
        if isinstance(spec, NetworkSpec):
            return ["S", "network", [spec.architecture, self.pack(spec.seed), self.pack(dict(spec.options))]]
        if isinstance(spec, FeaturesSpec):
            return ["S", "features", [self._spec(spec.network), self.pack(spec.layer)]]
        fields = [self.pack(spec.original), float(spec.step_size), float(spec.eps)]
        return ["S", "step", fields]


def _is_one(kind: type, *kinds: type) -> bool:
    """Whether a class is one of some classes: `in` would ask its metaclass, which may say yes to everything."""
    return any(kind is other for other in kinds)


def _name_of(kind: type) -> str:
    name = type.__dict__["__name__"].__get__(kind)
    return str(name)[:60].encode("utf-8", "replace").decode()


class Unpacker:
    """Turns a header's form back into values, and trusts none of it.

    Args:
        payload: The tensors' memory.
        specifications: Accept specifications; the trusted side does not.
        devices: Kinds of device on which tensors may be placed; elsewhere they become `Opaque`.

    Raises:
        ProtocolError: If the payload holds no tensors.
    """

    def __init__(
        self, payload: bytes | bytearray, *, specifications: bool = False, devices: Sequence[str] = ("cpu",)
    ) -> None:
        self._tensors = _read_tensors(payload)
        self._specifications = specifications
        self._devices = tuple(devices)
        self._nodes = 0

    def unpack(self, form: Any, depth: int = 0) -> Any:
        """The value of a form.

        Raises:
            ProtocolError: If it is not one.
        """
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ProtocolError("too many values in one message, or nested too deeply")
        if form is None or type(form) in (bool, float, str):
            return form
        if type(form) is not list or not form or type(form[0]) is not str:
            raise ProtocolError(f"not a value: {type(form).__name__}")
        tag, fields = form[0], form[1:]
        if tag in ("l", "t"):
            items = [self.unpack(item, depth + 1) for item in fields]
            return items if tag == "l" else tuple(items)
        readers: dict[str, Callable[[list[Any], int], Any]] = {
            "i": self._integer,
            "d": self._dictionary,
            "T": self._tensor,
            "o": self._opaque,
            "S": self._spec,
        }
        if tag not in readers:
            raise ProtocolError(f"unknown tag {tag[:10]!r}")
        return readers[tag](fields, depth)

    def _integer(self, fields: list[Any], _depth: int) -> int:
        digits = _one(fields, str)
        body = digits.removeprefix("-")
        if not (body.isascii() and body.isdigit() and len(body) <= MAX_DIGITS):
            raise ProtocolError("not an integer")
        return int(digits)

    def _opaque(self, fields: list[Any], depth: int) -> Opaque:
        content = self.unpack(fields[1], depth + 1) if len(fields) == 2 else None
        return Opaque(_one(fields[:1], str)[:60], content)

    def _dictionary(self, fields: list[Any], depth: int) -> dict[Any, Any]:
        if len(fields) != 2 or type(fields[0]) is not list or type(fields[1]) is not list:
            raise ProtocolError("a dictionary is a list of keys and a list of items")
        if len(fields[0]) != len(fields[1]):
            raise ProtocolError("a dictionary has as many keys as items")
        keys = [self.unpack(key, depth + 1) for key in fields[0]]
        if not all(type(key) in (int, str, bool, float) for key in keys):
            raise ProtocolError("keys are numbers or strings")
        return dict(zip(keys, (self.unpack(item, depth + 1) for item in fields[1]), strict=True))

    def _tensor(self, fields: list[Any], _depth: int) -> Tensor | Opaque:
        key, shape, strides, offset, device = _fields(_one(fields, list), 5)
        _check_sizes(shape, "shape")
        _check_sizes(strides, "strides")
        _check_sizes([offset], "offset")
        if len(shape) != len(strides):
            raise ProtocolError("a shape and its strides have one length")
        if device not in DEVICES:
            raise ProtocolError("unknown device")
        if type(key) is not str or key not in self._tensors:
            raise ProtocolError("a tensor's memory is not in the message")
        # Each piece of memory once, or a small frame could stand for many large tensors.
        memory = _numbers(self._tensors.pop(key))
        span = _span(shape, strides) and offset + _span(shape, strides)
        # Expanded dimensions take no memory: without this, a tensor of 2^60 elements would fit into a frame.
        if span != len(memory) or not (self._specifications or span == math.prod(shape)):
            raise ProtocolError("a tensor's memory does not match its shape")
        if device not in self._devices:
            return Opaque(f"tensor on {device}")
        if not span:
            return torch.empty(shape, dtype=memory.dtype, device=device)
        return memory.to(device).as_strided(shape, strides, offset)

    def _spec(self, fields: list[Any], depth: int) -> NetworkSpec | FeaturesSpec | StepSpec:
        if not self._specifications:
            raise ProtocolError("specifications are not accepted from this side")
        kind, values = _fields(fields, 2)
        if kind == "network":
            architecture, seed, options = _fields(values, 3)
            return NetworkSpec(architecture, self.unpack(seed), self.unpack(options))
        if kind == "features":
            network, layer = _fields(values, 2)
            return FeaturesSpec(self.unpack(network, depth + 1), self.unpack(layer))
        original, step_size, eps = _fields(values, 3)
        return StepSpec(self.unpack(original, depth + 1), step_size, eps)


def _one(fields: list[Any], kind: type) -> Any:
    (value,) = _fields(fields, 1)
    if type(value) is not kind:
        raise ProtocolError(f"expected a {kind.__name__}")
    return value


def _fields(fields: Any, count: int) -> list[Any]:
    if type(fields) is not list or len(fields) != count:
        raise ProtocolError(f"expected {count} fields")
    return fields


def _span(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Elements from a tensor's first one to its last, in memory."""
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if math.prod(shape) else 0


def _read_tensors(payload: bytes | bytearray) -> dict[str, Tensor]:
    if int.from_bytes(payload[:8], "little") > MAX_TENSOR_HEADER:
        raise ProtocolError("too many tensors in one message")
    try:
        return load(bytes(payload)) if payload else {}
    except MemoryError:
        raise
    except Exception as error:  # the library names its own errors only
        raise ProtocolError(f"the payload is not safetensors ({type(error).__name__})") from None


def _numbers(memory: Tensor) -> Tensor:
    """A tensor's elements, in one row; complex ones come as pairs."""
    if memory.dim() == 2:
        memory = torch.view_as_complex(memory)
    if memory.dim() != 1 or memory.dtype not in DTYPES.values():
        raise ProtocolError("unknown dtype")
    if memory.dtype == torch.bool and bool((memory.view(torch.uint8) > 1).any()):
        raise ProtocolError("a boolean tensor holds bytes that are neither 0 nor 1")
    return memory


def _check_sizes(sizes: Any, name: str) -> None:
    if type(sizes) is not list or len(sizes) > MAX_DIMENSIONS:
        raise ProtocolError(f"not a {name}")
    if not all(type(size) is int and 0 <= size < 2**40 for size in sizes):
        raise ProtocolError(f"a {name} holds integers from 0")


def encode(message: Mapping[str, Any], *, layouts: bool = False) -> bytes:
    """The frame of a message: its values may be anything that `Packer.pack` knows."""
    packer = Packer(layouts=layouts)
    forms = {key: packer.pack(value) for key, value in message.items()}
    header: bytes = msgpack.packb(forms, use_bin_type=True)
    if len(header) > MAX_HEADER:
        raise ProtocolError(f"the message's header has {len(header)} bytes, at most {MAX_HEADER} are allowed")
    payload = save(packer.tensors) if packer.tensors else b""
    return b"".join([PREFIX.pack(MAGIC, len(header), len(payload)), header, payload])


def read_prefix(prefix: bytes, *, max_payload: int) -> tuple[int, int]:
    """Lengths of header and payload.

    Raises:
        ProtocolError: If this is not the start of a frame, or the frame is too large.
    """
    if len(prefix) != PREFIX.size:
        raise ProtocolError("the message was cut short")
    magic, header, payload = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise ProtocolError("not the start of a message")
    if header > MAX_HEADER or payload > max_payload:
        raise ProtocolError(f"a message of {header} and {payload} bytes is too large")
    return header, payload


def decode(
    header: bytes | bytearray,
    payload: bytes | bytearray,
    *,
    specifications: bool = False,
    devices: Sequence[str] = ("cpu",),
) -> dict[str, Any]:
    """The message in a frame.

    Raises:
        ProtocolError: For everything that is not a message, whatever the bytes are.
        MemoryError: If there is no memory for it on this side: the sizes in a frame are bounded by its own.
    """
    try:
        forms = msgpack.unpackb(
            header,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_STRING,
            max_bin_len=0,
            max_array_len=MAX_NODES,
            max_map_len=100,
            max_ext_len=0,
        )
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise ProtocolError(f"the header is not msgpack ({type(error).__name__})") from None
    if type(forms) is not dict or not all(type(key) is str for key in forms):
        raise ProtocolError("a message maps names to values")
    unpacker = Unpacker(payload, specifications=specifications, devices=devices)
    try:
        return {key: unpacker.unpack(form) for key, form in forms.items()}
    except (ValueError, RuntimeError, OverflowError) as error:
        raise ProtocolError(f"a value could not be read ({type(error).__name__})") from None
