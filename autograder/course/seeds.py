"""The seeds of the hidden exams.

Every submission is examined with inputs of its own, which nobody can predict without the course's secret, and which a
regrade repeats exactly: `seed = HMAC-SHA256(secret, student and assignment)`.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from pathlib import Path

from autograder.course.whole_files import write_whole

SECRET_FILE = ".secret"
SECRET_BYTES = 32


def course_secret(course_folder: Path) -> bytes:
    """The course's secret, `.secret` in the course folder; made, readable for its owner only, where it is missing.

    Raises:
        ValueError: If the file is there but too short to be a secret.
    """
    path = Path(course_folder) / SECRET_FILE
    if not path.exists():
        write_whole(path, secrets.token_bytes(SECRET_BYTES).hex().encode() + b"\n", mode=0o600, once=True)
    secret = path.read_bytes().strip()
    if len(secret) < SECRET_BYTES:
        raise ValueError(
            f"{path} holds {len(secret)} bytes, at least {SECRET_BYTES} were expected; "
            "restore it from your backup, or delete it (exams then get new inputs when they are run again)"
        )
    return secret


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
