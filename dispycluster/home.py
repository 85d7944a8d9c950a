"""The folder that holds everything this installation owns: database, secrets, files, logs."""

import os
import secrets
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def home_folder() -> Path:
    """DISPYCLUSTER_HOME, made if missing and readable by its owner only."""
    folder = Path(os.environ.get("DISPYCLUSTER_HOME") or ROOT / "var").expanduser().absolute()
    for part in (folder, folder / "secrets", folder / "files", folder / "engine"):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def secret(folder: Path, name: str) -> str:
    """The secret of that name, drawn (256 bits, mode 0600) when it is first asked for."""
    path = folder / "secrets" / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        write_once(path, secrets.token_hex(32))
        return path.read_text().strip()


def write_once(path: Path, text: str) -> bool:
    """Write a file whole and with mode 0600, unless somebody else was first."""
    draft = draft_of(path, text)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def private_file(path: Path, text: str) -> None:
    """Write a file whole and with mode 0600, in place of what was there."""
    draft_of(path, text).replace(path)


def draft_of(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    return draft
