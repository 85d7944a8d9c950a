"""Why a member failed, in words for its user. Lean: the fork server imports it."""

from __future__ import annotations

RESULT_LIMIT = 1_000_000  # bytes of JSON
DEEPEST = 200  # lists and objects in each other; beyond, not all that reads JSON can


class MemberError(Exception):
    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def too_large(size: int) -> MemberError:
    return MemberError(
        "result_too_large",
        f"the result is {size:,} bytes, more than the {RESULT_LIMIT:,} that are kept; "
        "write it to a file and name that file in outputs",
    )


def too_deep() -> MemberError:
    return MemberError("result_not_json", f"the result is nested more than {DEEPEST} deep")


def start_failure(error: BaseException, what: str) -> tuple[dict[str, str], int]:
    """The note and the exit status of what could not be started."""
    if isinstance(error, FileNotFoundError):
        return {
            "error": f"there is no program {what} on this node",
            "error_type": "no_program",
        }, 127
    if isinstance(error, PermissionError):
        return {"error": f"{what} may not be executed", "error_type": "no_program"}, 126
    if isinstance(error, MemoryError):
        return {"error": "MemoryError", "error_type": "MemoryError"}, 1
    reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return {"error": f"{what} could not be started: {reason}", "error_type": "no_start"}, 126
