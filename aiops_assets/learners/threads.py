"""How many threads a fit takes: one, on every machine.

Threads share out a sum, and floats are rounded by how it was split: a model of two cores is not quite one of four. The
arrays here are small, too, so that threads wait for each other more than they work, most of all on a busy machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """While it is open, BLAS and OpenMP take one thread, in the libraries that are already loaded: import them before.

    PyTorch counts its own threads beside these, see :func:`one_torch_thread`.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """While it is open, PyTorch and what lies below it take one thread: two give other weights."""
    import torch

    before = torch.get_num_threads()
    with one_thread():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
