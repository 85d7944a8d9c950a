"""Reading dispy's messages without letting the sender run anything.

dispy unpickles what anybody sends to its ports, before it looks at any secret. This reader is
the pure Python one (small messages: tens of microseconds), with every opcode that dispy's own
messages do not need taken out, and classes found only as exact (module, name) pairs. The C
reader would not do: a single hostile "put" makes it allocate and touch gigabytes.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from typing import Any

FRAME_LIMIT = 16 * 1024 * 1024
MAX_OPERATIONS = 20_000  # dispy's longest message, a node's pulse, takes about 300

# What either end may receive from the other. Anything else is plain data or refused.
ALLOWED = frozenset(
    {
        ("dispy", "_Compute"),
        ("dispy", "_DispyJob_"),
        ("dispy", "_JobReply"),
        ("dispy", "_XferFile"),
        ("dispy", "DispyNodeAvailInfo"),
        ("os", "stat_result"),
    }
)
JOB_FIELDS = frozenset({"uid", "hash", "compute_id", "_args", "_kwargs", "xfer_files", "code"})

PLAIN_OPCODES = (
    "PROTO FRAME STOP MARK POP POP_MARK MEMOIZE BINGET LONG_BINGET NONE NEWTRUE NEWFALSE "
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "SHORT_BINBYTES BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_SET ADDITEMS STACK_GLOBAL"
)

Loader = Callable[["Unpickler"], None]


class Unpickler(pickle._Unpickler):
    """Plain values, and instances of the few classes in ALLOWED."""

    stack: list[Any]

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        super().__init__(io.BytesIO(data))
        self.dispatch: Any = Metered()  # type: ignore[misc]  # where pickle's loop finds what to do

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"refused: {module}.{name}")
        if module == "os":
            return os.stat_result
        import dispy  # here, so that this file can be imported before the fixes are made

        return vars(dispy)[name]

    def load_new(self) -> None:
        args, cls = self.stack.pop(), self.stack.pop()
        if args != () or not is_dispy_class(cls):
            raise pickle.UnpicklingError("refused: constructing with arguments")
        self.stack.append(cls.__new__(cls))

    def load_call(self) -> None:
        args, function = self.stack.pop(), self.stack[-1]
        if function is not os.stat_result or type(args) is not tuple:
            raise pickle.UnpicklingError("refused: a call")
        self.stack[-1] = os.stat_result(*args)

    def load_state(self) -> None:
        """Set attributes of an instance; never of a class, which would outlive the message."""
        state, instance = self.stack.pop(), self.stack[-1]
        if not is_dispy_class(type(instance)) or type(state) is not dict:
            raise pickle.UnpicklingError("refused: state")
        if hasattr(type(instance), "__slots__") and not JOB_FIELDS.issuperset(state):
            raise pickle.UnpicklingError("refused: fields of a job")
        for name, value in state.items():
            if type(name) is not str or name.startswith("__"):
                raise pickle.UnpicklingError("refused: name of an attribute")
            setattr(instance, name, value)


def is_dispy_class(cls: Any) -> bool:
    return (
        isinstance(cls, type)
        and cls is not os.stat_result
        and (cls.__module__, cls.__name__) in ALLOWED
    )


def loaders() -> dict[int, Loader]:
    codes = [getattr(pickle, name)[0] for name in PLAIN_OPCODES.split()]
    table: dict[int, Any] = {code: pickle._Unpickler.dispatch[code] for code in codes}
    table[pickle.NEWOBJ[0]] = Unpickler.load_new
    table[pickle.REDUCE[0]] = Unpickler.load_call
    table[pickle.BUILD[0]] = Unpickler.load_state
    return table


LOADERS = loaders()


class Metered:
    """Counts operations: an empty list takes one byte to ask for and 56 to keep."""

    def __init__(self) -> None:
        self.left = MAX_OPERATIONS

    def __getitem__(self, code: int) -> Loader:
        self.left -= 1
        if self.left < 0:
            raise pickle.UnpicklingError("refused: too many operations")
        return LOADERS[code]


def deserialize(data: bytes | bytearray | memoryview) -> Any:
    """What takes the place of pycos.deserialize. Any refusal is a pickle.UnpicklingError."""
    try:
        return Unpickler(data).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # truncated, unknown opcode, wrong types, no memory
        raise pickle.UnpicklingError(f"refused: {type(error).__name__}") from error
