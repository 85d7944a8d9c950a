import os
import pickle
import pickletools
from typing import Any

import dispy
import pytest

from node.unpickling import ALLOWED, MAX_OPERATIONS, deserialize


class Caller:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def as_dispy(name: str) -> bytes:
    return b"\x8c\x05dispy\x8c" + bytes([len(name)]) + name.encode() + b"\x93"


@pytest.mark.parametrize(
    "value",
    [
        {"ip_addr": "127.0.0.2", "cpus": 4, "load": 0.5, "more": [None, True, (1, b"x")]},
        2**62 - 1,
        -(2**80),
        set("abc"),
        "ein längerer Text" * 100,
    ],
)
def test_plain_values_come_through(value: Any) -> None:
    assert deserialize(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)) == value


def test_what_dispy_sends_comes_through() -> None:
    file = deserialize(pickle.dumps(dispy._XferFile(__file__)))
    assert file.stat_buf.st_size == os.stat(__file__).st_size
    job = dispy._DispyJob_(5, None, ("text",), {})
    job.uid = 7
    assert deserialize(pickle.dumps(job)).hash == job.hash
    assert deserialize(pickle.dumps(dispy._Compute(1, "name"))).name == "name"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "evil",
    [
        Caller(os.system, "true"),
        Caller(eval, "1"),
        Caller(getattr, dispy._JobReply, "__init__"),
        Caller(os.stat_result, "not a tuple of numbers"),
        Caller(dispy._XferFile, "/etc/passwd"),
    ],
)
def test_calls_are_refused(evil: Caller, protocol: int) -> None:
    with pytest.raises(pickle.UnpicklingError):
        deserialize(pickle.dumps(evil, protocol))


@pytest.mark.parametrize("name", ["os.system", "os", "pycos.Task", "_Cluster", "_JobReply.x"])
def test_names_are_matched_exactly_not_by_prefix(name: str) -> None:
    with pytest.raises(pickle.UnpicklingError):
        deserialize(b"\x80\x04" + as_dispy(name) + b".")


def test_a_class_keeps_its_attributes() -> None:
    """State set on the class itself would outlive the message."""
    slots = b"N}\x8c\x0c__setstate__K\x05s\x86b."
    for state in (slots, b"}\x8c\x03uidK\x05sb."):
        with pytest.raises(pickle.UnpicklingError):
            deserialize(b"\x80\x04" + as_dispy("_JobReply") + state)


@pytest.mark.parametrize("field", [b"__class__", b"__dict__", b"job"])
def test_only_known_fields_of_a_job_are_set(field: bytes) -> None:
    state = b"}\x8c" + bytes([len(field)]) + field + b"K\x05sb."
    with pytest.raises(pickle.UnpicklingError):
        deserialize(b"\x80\x04" + as_dispy("_DispyJob_") + b")\x81" + state)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x80\x04Nr\xff\xff\xff\x7f.",  # a memo of two thousand million entries
        b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",  # a terabyte of bytearray
        b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b".",
        b"\x80\x04" + b"]" * (MAX_OPERATIONS + 1) + b".",
        b"\x80\x04" + b"(" * (MAX_OPERATIONS + 1) + b".",
        b"I" + b"9" * 10_000 + b"\n.",
        b"",
        b"\x80",
        b"no pickle at all",
    ],
)
def test_bombs_and_noise_are_refused_cheaply(bomb: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        deserialize(bomb)


def test_nothing_that_is_allowed_is_a_function() -> None:
    assert all(isinstance(vars({"dispy": dispy, "os": os}[m])[n], type) for m, n in ALLOWED)


def test_our_own_messages_stay_far_below_the_limit() -> None:
    info = {"passport": {str(n): n for n in range(40)}, "reading": {str(n): n for n in range(40)}}
    count = sum(1 for _ in pickletools.genops(pickle.dumps(info, pickle.HIGHEST_PROTOCOL)))
    assert count < MAX_OPERATIONS / 20
