"""The seeds of the hidden exams.

Every submission is examined with inputs of its own, which nobody can predict without the course's secret, and which a
regrade repeats exactly: `seed = HMAC-SHA256(secret, student and assignment)`.
"""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

SECRET_FILE = ".secret"
SECRET_BYTES = 32


def course_secret(course_folder: Path) -> bytes:
    """The course's secret, `.secret` in the course folder; made, readable for its owner only, where it is missing.

    Raises:
        ValueError: If the file is there but too short to be a secret.
    """
    path = Path(course_folder) / SECRET_FILE
    if not path.exists():
        _create_once(path, secrets.token_bytes(SECRET_BYTES).hex().encode() + b"\n")
    secret = path.read_bytes().strip()
    if len(secret) < SECRET_BYTES:
        raise ValueError(
            f"{path} holds {len(secret)} bytes, at least {SECRET_BYTES} were expected; "
            "restore it from your backup, or delete it (exams then get new inputs when they are run again)"
        )
    return secret


def _create_once(path: Path, content: bytes) -> None:
    """Writes a private file that appears complete or not at all; of two processes that try, the first one wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        except OSError:  # no hard links on this file system
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def exam_seed(course_folder: Path | str, student_id: str, assignment: str) -> int:
    """Seed of one student's exams: an integer in [0, 2^63), the same at every regrade.

    Args:
        course_folder: The nbgrader course (`autograder/`), where the secret stands.
        student_id: The student's id in the gradebook.
        assignment: The assignment's name.
    """
    # The length in front keeps ("ab", "c") and ("a", "bc") apart.
    message = f"{len(student_id)}:{student_id}:{assignment}".encode("utf-8", "surrogatepass")
    digest = hmac.new(course_secret(Path(course_folder)), message, sha256).digest()
    return int.from_bytes(digest[:8], "big") >> 1
