"""What crosses between the trusted process and a submission's: data arrives whole, hostile bytes arrive as errors."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
import time
from typing import Any

import msgpack
import nbformat
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from autograder.engine.grader.outputs import Collector, failure
from autograder.engine.grader.remote import outcome_from
from autograder.engine.wire.channel import Channel, ChannelClosed, NotInTime
from autograder.engine.wire.limits import Limits
from autograder.engine.wire.protocol import (
    DTYPES,
    MAGIC,
    MAX_HEADER,
    PREFIX,
    ProtocolError,
    decode,
    encode,
    read_prefix,
)
from pset4.checks.calling.outcome import Opaque, Outcome
from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, StepSpec

MAX_PAYLOAD = 1 << 20


def split(frame: bytes) -> tuple[bytes, bytes]:
    header, payload = read_prefix(frame[: PREFIX.size], max_payload=1 << 40)
    assert len(frame) == PREFIX.size + header + payload
    return frame[PREFIX.size : PREFIX.size + header], frame[PREFIX.size + header :]


def there(value: Any, *, layouts: bool = False, trusted: bool = False) -> Any:
    """The value after a journey; `trusted`: from the trusted side to the submission."""
    header, payload = split(encode({"value": value}, layouts=layouts))
    return decode(header, payload, specifications=trusted)["value"]


def forged(form: Any, payload: bytes = b"") -> Any:
    """What the trusted side makes of a header that no honest process sends."""
    return decode(msgpack.packb({"value": form}), payload)["value"]


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain)
def test_plain_data_arrives_as_it_was(value: Any) -> None:
    arrived = there(value)
    assert arrived == value and type(arrived) is type(value)


def test_numbers_keep_their_kind() -> None:
    arrived = there([1, 1.0, True, -0.0, math.inf, 10**200])
    assert [type(item) for item in arrived] == [int, float, bool, float, float, int]
    assert math.copysign(1, arrived[3]) == -1 and math.isnan(there(math.nan))


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_tensor_arrives_bit_for_bit(name: str, shape: tuple[int, ...]) -> None:
    tensor = torch.randint(0, 2, shape).to(DTYPES[name])
    arrived = there(tensor)
    assert arrived.dtype == tensor.dtype and arrived.shape == tensor.shape and torch.equal(arrived, tensor)


def test_special_floats_arrive() -> None:
    tensor = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 1e-45])
    assert torch.equal(there(tensor).view(torch.int32), tensor.view(torch.int32))


base = torch.arange(24.0)
LAYOUTS = {
    "expanded": torch.tensor([1.0, 2.0]).expand(3, 2),
    "one number for all": torch.tensor(1.0).expand(2, 3, 4),
    "transposed": base.reshape(4, 6).t(),
    "every second": base[::2],
    "offset": base[5:9],
    "channels last": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
    "empty": base[:0],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_of_an_input_is_preserved(name: str) -> None:
    tensor = LAYOUTS[name]
    arrived = there(tensor, layouts=True, trusted=True)
    assert torch.equal(arrived, tensor) and arrived.shape == tensor.shape
    if tensor.numel():
        assert arrived.stride() == tensor.stride()
        assert bool(arrived.storage_offset()) == bool(tensor.storage_offset())


@pytest.mark.parametrize("tensor", [torch.tensor([1 + 2j]).conj(), torch.tensor([1 + 2j]).conj().imag])
def test_lazy_conjugates_arrive_as_their_values(tensor: Tensor) -> None:
    assert torch.equal(there(tensor, layouts=True, trusted=True), tensor) and torch.equal(there(tensor), tensor)


def test_expanded_input_sends_its_memory_once() -> None:
    assert len(encode({"value": torch.zeros(1).expand(10**9)}, layouts=True)) < 1_000


def test_answers_are_sent_contiguous() -> None:
    assert there(base.reshape(4, 6).t()).is_contiguous()


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec("small", 3, {"classes": 5, "sharpness": 2.5, "name": "x", "deep": True}),
        FeaturesSpec(NetworkSpec("small"), 2),
    ],
)
def test_specification_arrives_as_data(spec: NetworkSpec | FeaturesSpec) -> None:
    assert there(spec, trusted=True) == spec


def test_step_arrives_with_its_original() -> None:
    spec = StepSpec(torch.rand(1, 3, 4, 4), 0.5, 3)
    arrived = there(spec, trusted=True)
    assert torch.equal(arrived.original, spec.original) and (arrived.step_size, arrived.eps) == (0.5, 3.0)


def test_specification_is_not_accepted_from_a_submission() -> None:
    with pytest.raises(ProtocolError, match="not accepted"):
        there(NetworkSpec("small"))


class Liar(float):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __reduce__(self) -> Any:
        raise AssertionError("nothing may pickle")

    def __repr__(self) -> str:
        raise AssertionError("nothing may ask for a text")

    def __len__(self) -> int:
        raise AssertionError("nothing may ask for a length")


class LyingTensor(Tensor):
    @classmethod
    def __torch_function__(cls, *_arguments: Any, **_more: Any) -> Any:
        raise AssertionError("nothing may hand control to the tensor")


def by_type(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize(
    "value", [Liar(1), lambda: 1, object(), {1, 2}, b"bytes", 1j, range(3), print, type], ids=by_type
)
def test_other_objects_arrive_as_the_name_of_their_type(value: object) -> None:
    assert there([value]) == [Opaque(type(value).__name__)]


def test_tensor_subclass_arrives_as_the_name_of_its_type() -> None:
    assert there(torch.ones(2).as_subclass(LyingTensor)) == Opaque("LyingTensor")


@pytest.mark.parametrize(
    "tensor",
    [torch.eye(3).to_sparse(), torch.empty(2, device="meta"), torch.ones([1] * 9)],
    ids=["sparse", "meta", "nine dimensions"],
)
def test_odd_tensors_arrive_as_names(tensor: Tensor) -> None:
    assert isinstance(there(tensor), Opaque)


FORGED_TENSORS = {
    "no fields": [],
    "no memory of that number": ["1", [4], [1], 0, "cpu"],
    "number is none": [0, [4], [1], 0, "cpu"],
    "number is a list": [["0"], [4], [1], 0, "cpu"],
    "unknown device": ["0", [4], [1], 0, "meta"],
    "device is a list": ["0", [4], [1], 0, ["cpu"]],
    "negative size": ["0", [-4], [1], 0, "cpu"],
    "size is a float": ["0", [4.0], [1], 0, "cpu"],
    "size is true": ["0", [True], [1], 0, "cpu"],
    "huge": ["0", [2**39], [1], 0, "cpu"],
    "huge by product": ["0", [2**30, 2**30], [1, 1], 0, "cpu"],
    "expanded to a huge one": ["0", [4, 2**39], [1, 0], 0, "cpu"],
    "beyond the message": ["0", [8], [1], 0, "cpu"],
    "offset reaches beyond": ["0", [1], [1], 10**6, "cpu"],
    "offset is negative": ["0", [5], [1], -1, "cpu"],
    "strides reach beyond": ["0", [2, 2], [1000, 1], 0, "cpu"],
    "too few strides": ["0", [2, 2], [1], 0, "cpu"],
    "too few numbers": ["0", [3], [1], 0, "cpu"],
    "nine dimensions": ["0", [1] * 8 + [4], [1] * 9, 0, "cpu"],
}


@pytest.mark.parametrize("name", FORGED_TENSORS)
def test_forged_tensor_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        forged(["T", FORGED_TENSORS[name]], save({"0": torch.ones(4)}))


def raw(header: str, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header.encode() + data


FORGED_MEMORY = {
    "noise": bytes(range(64)),
    "too short": b"\x05",
    "a header that is longer than the message": struct.pack("<Q", 1000) + b"{}",
    "a huge header": struct.pack("<Q", 2**62) + b"{}",
    "an unknown dtype": raw('{"0":{"dtype":"OBJECT","shape":[4],"data_offsets":[0,4]}}', bytes(4)),
    "a dtype that no exercise uses": save({"0": torch.ones(4).to(torch.float8_e5m2)}),
    "pairs of no complex numbers": save({"0": torch.ones(4, 2).long()}),
    "rows": save({"0": torch.ones(2, 2, 1)}),
    "booleans that are neither": raw('{"0":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}}', b"\0\1\2\3"),
    "a shape that is larger than its bytes": raw('{"0":{"dtype":"F32","shape":[4],"data_offsets":[0,4]}}', bytes(4)),
    "bytes beyond the message": raw('{"0":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', bytes(4)),
    "bytes that belong to two": raw(
        '{"0":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"1":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "bytes that belong to nobody": raw('{"0":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', bytes(64)),
}


@pytest.mark.parametrize("name", FORGED_MEMORY)
def test_forged_memory_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        forged(["T", ["0", [4], [1], 0, "cpu"]], FORGED_MEMORY[name])


def test_one_piece_of_memory_cannot_stand_for_many_tensors() -> None:
    tensor = ["T", ["0", [4], [1], 0, "cpu"]]
    with pytest.raises(ProtocolError):
        forged(["l", tensor, tensor], save({"0": torch.ones(4)}))


def test_a_tensor_may_be_sent_twice_in_one_message() -> None:
    one, other = there([base, base])
    assert torch.equal(one, other) and one.data_ptr() != other.data_ptr()


@pytest.mark.parametrize(
    "form",
    [
        [],
        ["?"],
        [["l"]],
        1,
        {},
        b"bytes",
        msgpack.ExtType(1, b"x"),
        ["i", "0x10"],
        ["i", "१"],
        ["i", "9" * 5_000],
        ["i", 3],
        ["d", [["l"]], [None]],
        ["d", ["a"], []],
        ["o"],
        ["S", "network", ["os.system", ["i", "0"], ["d", [], []]]],
    ],
    ids=repr,
)
def test_forged_value_is_refused(form: Any) -> None:
    with pytest.raises(ProtocolError):
        forged(form)


def test_deep_and_wide_values_are_refused() -> None:
    deep: Any = None
    for _ in range(500):
        deep = ["l", deep]
    with pytest.raises(ProtocolError):
        forged(deep)
    with pytest.raises(ProtocolError):
        forged(["l", *[["l", *[None] * 1_000]] * 1_000])


def test_prefix_is_checked_before_anything_is_read() -> None:
    for prefix in (b"", b"GET / HTTP/1.1\r\n", PREFIX.pack(MAGIC, MAX_HEADER + 1, 0), PREFIX.pack(MAGIC, 0, 2**63)):
        with pytest.raises(ProtocolError):
            read_prefix(prefix, max_payload=MAX_PAYLOAD)


small = st.integers(-1, 9)
tensor_forms = st.tuples(
    st.sampled_from(["0", "1", "2", "3"]),
    st.lists(small, max_size=4),
    st.lists(small, max_size=4),
    small,
    st.sampled_from(["cpu", "cuda", "meta"]),
).map(lambda fields: ["T", list(fields)])
TENSORS = save({"0": torch.ones(8), "1": torch.ones(1).bool(), "2": torch.ones(4, 2)})
payloads = st.just(TENSORS) | st.just(b"") | st.binary(max_size=64)
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
forms = st.recursive(
    leaves | st.binary(max_size=8) | tensor_forms,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(st.sampled_from(["i", "l", "t", "d", "T", "o", "S"]), inner).map(list)
    ),
    max_leaves=12,
)
OUTCOME_FIELDS = list(vars(Outcome()))


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(OUTCOME_FIELDS) | st.text(max_size=4), forms, max_size=6), payloads)
def test_any_header_gives_a_clean_outcome_or_an_error(header: dict[str, Any], payload: bytes) -> None:
    try:
        answer = decode(msgpack.packb(header), payload)
    except ProtocolError:
        return
    check_outcome(outcome_from(answer, [torch.ones(2)]))


@settings(max_examples=300)
@given(st.binary(max_size=200), payloads)
def test_any_bytes_give_a_message_or_an_error(header: bytes, payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        check_outcome(outcome_from(decode(header, payload), []))


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_frame_gives_a_clean_outcome_or_an_error(data: st.DataObject) -> None:
    honest = {
        **vars(Outcome(value=[torch.arange(6.0), 3, "x"], banned=("F.conv1d",), arguments_after=(torch.ones(2),)))
    }
    frame = bytearray(encode(honest))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(frame)
        theirs.shutdown(socket.SHUT_WR)
        try:
            answer = Channel(ours, max_payload=MAX_PAYLOAD).receive(deadline=time.monotonic() + 5)
        except (ProtocolError, ChannelClosed):
            return
        check_outcome(outcome_from(answer, [torch.ones(2)]))


def check_outcome(outcome: Outcome) -> None:
    """Everything in it is exactly of the kind that exams expect."""
    assert type(outcome.error) is str and type(outcome.message) is str and len(outcome.message) <= 500
    assert "\n" not in outcome.error + outcome.message
    assert all(item is None or type(item) is Tensor for item in outcome.arguments_after)
    assert type(outcome.banned) is tuple and all(type(name) is str and len(name) <= 100 for name in outcome.banned)
    assert type(outcome.steps) is int and outcome.steps >= 0
    assert outcome.first_direction is None or type(outcome.first_direction) is Tensor
    assert type(outcome.requires_grad) is bool and type(outcome.same_object) is bool
    check_plain(outcome.value)


def check_plain(value: Any) -> None:
    assert value is None or type(value) in (bool, int, float, str, list, tuple, dict, Tensor, Opaque)
    if type(value) in (list, tuple):
        for item in value:
            check_plain(item)
    if type(value) is dict:
        for item in value.values():
            check_plain(item)


def test_a_message_that_never_ends_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(PREFIX.pack(MAGIC, 100, 0) + b"x" * 50)
        started = time.monotonic()
        with pytest.raises(NotInTime):
            Channel(ours, max_payload=MAX_PAYLOAD).receive(deadline=started + 0.2)
        assert time.monotonic() - started < 2


def test_a_reader_that_never_reads_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(NotInTime):
        Channel(ours, max_payload=MAX_PAYLOAD).send(bytes(50_000_000), deadline=time.monotonic() + 0.2)


def test_messages_that_come_in_pieces_are_put_together() -> None:
    ours, theirs = socket.socketpair()
    frame = encode({"value": base}) * 2
    with ours, theirs:
        channel = Channel(ours, max_payload=MAX_PAYLOAD)
        for start in range(0, len(frame), 7):
            theirs.sendall(frame[start : start + 7])
        for _ in range(2):
            assert torch.equal(channel.receive(deadline=time.monotonic() + 5)["value"], base)


def stream(text: Any, name: Any = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def test_outputs_of_one_stream_are_merged() -> None:
    collector = Collector(Limits())
    collector.start_cell()
    for text in ("a", "b\n"):
        collector.add(stream(text))
    collector.add(stream("c", "stderr"))
    assert [output["text"] for output in collector.take()] == ["ab\n", "c"]


def test_scripts_and_html_are_not_stored() -> None:
    collector = Collector(Limits())
    collector.start_cell()
    data = {"text/html": "<script>", "application/javascript": "x", "image/svg+xml": "<svg/>", "text/plain": "shown"}
    collector.add({"output_type": "display_data", "data": data})
    collector.add({"output_type": "display_data", "data": {"image/png": "PHNjcmlwdD4="}})
    assert [output["data"] for output in collector.take()] == [{"text/plain": "shown"}]


PIXEL = "iVBORw0KGgo="  # a PNG's first bytes


@pytest.mark.parametrize(
    ("metadata", "stored"),
    [
        ({"image/png": {"alt": "a dog"}}, {"image/png": {"alt": "a dog"}}),
        ({"image/png": {"alt": "x" * 5_000}}, {"image/png": {"alt": "x" * 2_000}}),
        ({"image/png": {"alt": "a\x00b", "width": 10**9}, "text/html": {"alt": "no"}}, {"image/png": {"alt": "ab"}}),
        ({"image/png": {"alt": ["no"]}}, {}),
        ({"image/png": "no"}, {}),
        (["no"], {}),
    ],
)
def test_of_a_picture_s_metadata_its_text_alternative_is_stored(metadata: Any, stored: dict[str, Any]) -> None:
    collector = Collector(Limits())
    collector.start_cell()
    collector.add({"output_type": "display_data", "data": {"image/png": PIXEL}, "metadata": metadata})
    assert [output["metadata"] for output in collector.take()] == [stored]


outputs = st.fixed_dictionaries(
    {},
    optional={
        "output_type": st.sampled_from(["stream", "error", "display_data", "execute_result", "other"]) | forms,
        "name": st.sampled_from(["stdout", "stderr"]) | forms,
        "text": st.text(max_size=300) | forms,
        "data": st.dictionaries(st.sampled_from(["text/plain", "image/png", "text/html"]), st.text(max_size=50))
        | forms,
        "ename": st.text(max_size=300) | forms,
        "evalue": st.text(max_size=3_000) | forms,
        "traceback": st.lists(st.text(max_size=300), max_size=30) | forms,
        "execution_count": forms,
        "metadata": forms,
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.lists(outputs, max_size=6), max_size=6))
def test_any_outputs_are_stored_within_the_limits_and_as_notebooks_store_them(cells: list[list[Any]]) -> None:
    limits = Limits(output_bytes=20_000, cell_output_bytes=8_000)
    collector, stored = Collector(limits), []
    for cell in cells:
        collector.start_cell()
        for output in cell:
            collector.add(output)
        taken = [*collector.take(), failure("died", "it ended")]
        stored.append(nbformat.v4.new_code_cell(outputs=[nbformat.from_dict(output) for output in taken]))
    nbformat.validate(nbformat.v4.new_notebook(cells=stored))
    size = sum(len(json.dumps(output, ensure_ascii=False).encode()) for cell in stored for output in cell["outputs"])
    assert size <= limits.output_bytes + 2_000 * len(cells)
