"""What one submission may use."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1_000_000
MAX_ALT = 2_000  # characters of a picture's text alternative


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on one submission; all are enforced from outside its process.

    Attributes:
        cell_seconds: Wall time of one cell. It is interrupted first, so that its kernel may live on, then killed.
        submission_seconds: Wall time from opening the session to its end, over all cells, calls and restarts. Neither
            this nor a cell's time runs on while the grader is stopped.
        memory_bytes: Memory of all its processes together (private, shared, in files, in sockets), beyond what it
            shares with the warm process.
        processes: Processes and threads at one time.
        output_bytes: Stored output of the whole notebook.
        cell_output_bytes: Stored output of one cell.
        file_bytes: Size of everything that it writes to disk.
        files: Number of files that it writes.
        answer_bytes: Size of one answer to a call (a tensor of 64 MB is a batch of 100 photos).
        threads: Threads that torch computes with.
    """

    cell_seconds: float = 120.0
    submission_seconds: float = 900.0
    memory_bytes: int = 4_000 * MEGABYTE
    processes: int = 64
    output_bytes: int = 16 * MEGABYTE
    cell_output_bytes: int = 4 * MEGABYTE
    file_bytes: int = 200 * MEGABYTE
    files: int = 20_000
    answer_bytes: int = 64 * MEGABYTE
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuses limits that nothing could satisfy."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"the limit {name} must be positive, not {value!r}")
