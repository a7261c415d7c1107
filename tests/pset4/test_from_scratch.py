"""What is banned is seen and named, however it is called; what is allowed is left alone."""

import threading
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pset4.checks.calling.observe import banned_calls

SIGNAL = torch.arange(1.0, 9.0)
BATCH = SIGNAL.view(1, 1, 8)
KERNEL = torch.tensor([1.0, 2.0, 3.0])
WEIGHT = KERNEL.view(1, 1, 3)


def square_sum(x):
    return (x * x).sum()


def with_grad():
    return SIGNAL.clone().requires_grad_()


def call_backward():
    square_sum(with_grad()).backward()


def call_grad():
    x = with_grad()
    return torch.autograd.grad(square_sum(x), x)


def call_forward_ad():
    import torch.autograd.forward_ad as forward_ad

    with forward_ad.dual_level():
        return forward_ad.unpack_dual(square_sum(forward_ad.make_dual(SIGNAL, SIGNAL)))


def scripted_convolution():
    return SCRIPTED(BATCH, WEIGHT)


def alias_from_before():
    return ALIAS(SIGNAL.numpy(), KERNEL.numpy(), "same")


def in_a_thread():
    thread = threading.Thread(target=lambda: np.convolve([1.0, 2.0], [1.0, 2.0]))
    thread.start()
    thread.join()


def scipy_signal(name, *arguments):
    import scipy.signal

    return getattr(scipy.signal, name)(*arguments)


def scipy_image(name, *arguments):
    import scipy.ndimage

    return getattr(scipy.ndimage, name)(*arguments)


def conv(a, b):
    return torch.conv1d(a, b)


ALIAS = np.convolve
GRAD_ALIAS = torch.func.grad(square_sum)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    SCRIPTED = torch.jit.script(conv)

BANNED = {
    "F.conv1d": (lambda: F.conv1d(BATCH, WEIGHT), "conv1d"),
    "torch.conv1d by getattr": (lambda: getattr(torch, "conv" + "1d")(BATCH, WEIGHT), "conv1d"),
    "F.conv2d": (lambda: F.conv2d(BATCH[..., None], WEIGHT[..., None]), "conv2d"),
    "F.conv_transpose1d": (lambda: F.conv_transpose1d(BATCH, WEIGHT), "conv_transpose1d"),
    "torch.ops packet": (lambda: torch.ops.aten.conv1d(BATCH, WEIGHT), "conv1d"),
    "torch.ops overload": (
        lambda: torch.ops.aten.convolution.default(BATCH, WEIGHT, None, [1], [0], [1], False, [0], 1),
        "convolution",
    ),
    "torch.ops backward": (
        lambda: torch.ops.aten.convolution_backward(
            BATCH[..., :6], BATCH, WEIGHT, None, [1], [0], [1], False, [0], 1, [True, True, False]
        ),
        "convolution_backward",
    ),
    "nn.Conv1d": (lambda: torch.nn.Conv1d(1, 1, 3)(BATCH), "conv1d"),
    "scripted": (scripted_convolution, "convolution"),
    "F.max_pool1d": (lambda: F.max_pool1d(BATCH, 3, 1), "max_pool1d"),
    "F.max_pool1d with indices": (lambda: F.max_pool1d(BATCH, 3, 1, return_indices=True), "max_pool1d"),
    "F.adaptive_max_pool1d": (lambda: F.adaptive_max_pool1d(BATCH, 3), "adaptive_max_pool1d"),
    "F.avg_pool1d": (lambda: F.avg_pool1d(BATCH, 3, 1), "avg_pool1d"),
    "F.lp_pool1d": (lambda: F.lp_pool1d(BATCH, 2, 3), "lp_pool1d"),
    "nn.MaxPool1d": (lambda: torch.nn.MaxPool1d(3, 1)(BATCH), "max_pool1d"),
    "torch.ops pooling": (lambda: torch.ops.aten.max_pool1d(BATCH, [3], [1]), "max_pool1d"),
    "np.convolve": (lambda: np.convolve([1.0, 2.0], [1.0, 2.0]), "numpy.convolve"),
    "np.convolve by an old alias": (alias_from_before, "numpy.convolve"),
    "np.convolve in a thread": (in_a_thread, "numpy.convolve"),
    "np.correlate": (lambda: np.correlate([1.0, 2.0], [1.0, 2.0]), "numpy.correlate"),
    "np.polymul": (lambda: np.polymul([1.0, 2.0], [1.0, 2.0]), "numpy.polymul"),
    "np.poly1d": (lambda: np.poly1d([1.0, 2.0]) * np.poly1d([1.0, 2.0]), "numpy.polymul"),
    "scipy.signal.convolve": (lambda: scipy_signal("convolve", [1.0, 2.0], [1.0, 2.0]), "scipy.signal.convolve"),
    "scipy.signal.fftconvolve": (
        lambda: scipy_signal("fftconvolve", [1.0, 2.0], [1.0, 2.0]),
        "scipy.signal.fftconvolve",
    ),
    "scipy.signal.lfilter": (lambda: scipy_signal("lfilter", [1.0, 2.0], [1.0], [1.0, 2.0]), "scipy.signal.lfilter"),
    "scipy.ndimage.convolve1d": (lambda: scipy_image("convolve1d", [1.0, 2.0], [1.0, 2.0, 3.0]), "scipy.ndimage"),
    "scipy.ndimage.maximum_filter1d": (lambda: scipy_image("maximum_filter1d", [1.0, 2.0], 2), "scipy.ndimage"),
    "backward": (call_backward, "backward"),
    "torch.autograd.grad": (call_grad, "torch.autograd.grad"),
    "torch.autograd.functional": (
        lambda: torch.autograd.functional.jacobian(square_sum, SIGNAL),
        "torch.autograd.functional.jacobian",
    ),
    "torch.func.grad": (lambda: torch.func.grad(square_sum)(SIGNAL), "torch.func.grad"),
    "torch.func.grad by an old alias": (lambda: GRAD_ALIAS(SIGNAL), "grad"),
    "torch.func.vjp": (lambda: torch.func.vjp(square_sum, SIGNAL)[1](torch.tensor(1.0)), "torch.func.vjp"),
    "torch.func.jvp": (lambda: torch.func.jvp(square_sum, (SIGNAL,), (SIGNAL,)), "torch.func.jvp"),
    "torch.func.jacrev": (lambda: torch.func.jacrev(square_sum)(SIGNAL), "torch.func.jacrev"),
    "forward_ad": (call_forward_ad, "torch.autograd.forward_ad.make_dual"),
}


def toeplitz():
    import scipy.linalg

    return scipy.linalg.toeplitz([1.0, 2.0, 3.0])


def import_only():
    import scipy.ndimage
    import scipy.signal

    return scipy.signal, scipy.ndimage


def without_grad():
    with torch.no_grad():
        return with_grad().detach() * 2


ALLOWED = {
    "F.pad": lambda: F.pad(SIGNAL, (1, 1)),
    "F.pad replicate": lambda: F.pad(BATCH, (1, 1), mode="replicate"),
    "unfold": lambda: SIGNAL.unfold(0, 3, 1) @ KERNEL,
    "F.unfold and F.fold": lambda: F.fold(F.unfold(BATCH[..., None], (3, 1)), (8, 1), (3, 1)),
    "as_strided": lambda: SIGNAL.as_strided((6, 3), (1, 1)).amax(1),
    "flip, gather, scatter": lambda: (
        SIGNAL.flip(0).scatter_add(0, SIGNAL.long() - 1, SIGNAL).gather(0, torch.tensor([1]))
    ),
    "sort, topk, argmax": lambda: (SIGNAL.sort(), SIGNAL.topk(2), SIGNAL.argmax(), SIGNAL.unfold(0, 3, 1).max(1)),
    "einsum": lambda: torch.einsum("nk,k->n", SIGNAL.unfold(0, 3, 1), KERNEL),
    "FFT": lambda: torch.fft.irfft(torch.fft.rfft(SIGNAL) * torch.fft.rfft(KERNEL, 8)),
    "np.fft": lambda: np.fft.ifft(np.fft.fft(SIGNAL.numpy())),
    "no_grad and detach": without_grad,
    "sliding_window_view": lambda: np.lib.stride_tricks.sliding_window_view(SIGNAL.numpy(), 3).max(1),
    "toeplitz": toeplitz,
    "importing scipy.signal": import_only,
    "conversions": lambda: SIGNAL.double().half().to(torch.complex64),
    "matmul": lambda: torch.ones(3, 8) @ SIGNAL,
    "vmap": lambda: torch.vmap(square_sum)(SIGNAL.view(2, 4)),
    "index_add": lambda: torch.zeros(8).index_add(0, SIGNAL.long() - 1, SIGNAL),
    "own function named backward": lambda: own_backward(SIGNAL),
}


def own_backward(grad):
    return grad.clone()


own_backward.__name__ = "backward"


@pytest.mark.parametrize("name", BANNED)
def test_a_banned_call_is_named(name):
    function, expected = BANNED[name]
    with banned_calls() as watch:
        function()
    assert any(expected in seen for seen in watch.names), watch.names


@pytest.mark.parametrize("name", sorted(set(BANNED) - {"scripted"}))
def test_the_quick_observer_of_the_visible_checks_sees_it_too(name):
    function, _ = BANNED[name]
    with banned_calls(thorough=False) as watch:
        function()
    assert watch.names


@pytest.mark.parametrize("name", BANNED)
def test_one_call_gets_few_names(name):
    function, _ = BANNED[name]
    with banned_calls() as watch:
        function()
    assert len(watch.names) <= 2, watch.names


@pytest.mark.parametrize("name", ["F.conv1d", "torch.conv1d by getattr", "nn.Conv1d"])
def test_the_three_observers_agree_on_the_name(name):
    function, _ = BANNED[name]
    with banned_calls() as watch:
        function()
    assert watch.names == ("torch.nn.functional.conv1d",)


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_is_left_alone(name):
    with banned_calls() as watch:
        ALLOWED[name]()
    assert watch.names == ()


def test_outside_the_block_nothing_is_watched():
    import sys

    with banned_calls() as watch:
        pass
    F.conv1d(BATCH, WEIGHT)
    np.convolve([1.0], [1.0])
    assert watch.names == ()
    assert sys.getprofile() is None


def test_a_disabled_observer_sees_nothing():
    with banned_calls(enabled=False) as watch:
        F.conv1d(BATCH, WEIGHT)
    assert watch.names == ()
