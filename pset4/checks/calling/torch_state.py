"""torch's global switches, so that a student's changes to them cannot reach an exam, nor the exam's a student."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TorchState:
    """The global switches that a notebook may turn."""

    grad: bool
    dtype: torch.dtype
    device: torch.device
    threads: int
    deterministic: bool
    warn_only: bool
    anomaly: bool

    @classmethod
    def now(cls) -> TorchState:
        """The switches as they stand."""
        return cls(
            grad=torch.is_grad_enabled(),
            dtype=torch.get_default_dtype(),
            device=torch.get_default_device(),
            threads=torch.get_num_threads(),
            deterministic=torch.are_deterministic_algorithms_enabled(),
            warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
            anomaly=torch.is_anomaly_enabled(),
        )

    def apply(self) -> None:
        """Turns every switch that stands otherwise."""
        now = TorchState.now()
        if now == self:
            return
        torch.set_grad_enabled(self.grad)
        torch.set_default_dtype(self.dtype)
        if now.device != self.device:
            torch.set_default_device(None if self.device == torch.device("cpu") else self.device)
        if now.threads != self.threads:
            torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(self.deterministic, warn_only=self.warn_only)
        torch.autograd.set_detect_anomaly(self.anomaly)


@contextmanager
def neutral_torch() -> Iterator[None]:
    """torch's own defaults inside and one thread, whatever stood before outside.

    With several threads, small inputs take longer, and sums are rounded in an order that depends on the machine.
    """
    before = TorchState.now()
    TorchState(True, torch.float32, torch.device("cpu"), 1, False, False, False).apply()
    try:
        yield
    finally:
        before.apply()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: with more, small inputs take longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
