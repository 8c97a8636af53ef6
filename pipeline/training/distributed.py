"""Several processes, one a GPU: `torchrun -m monai.bundle run … bundles/common/multi_gpu.yaml`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from pipeline.errors import InputError, one_line

T = TypeVar("T")
_PARENT_DIED = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL", "ncclRemoteError")


def announced() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def start() -> None:
    """Join the process group that torchrun announces; nothing without torchrun, or where it is joined already.

    A process whose torchrun is killed ends too: it would else go on beside the one that is started after it.
    """
    if announced() > 1 and not dist.is_initialized():
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGTERM)
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def stop() -> None:
    """Leave the process group."""
    if dist.is_initialized():
        dist.barrier()  # nobody leaves while another still sends: gloo's threads would abort it
        dist.destroy_process_group()
        if not torch.cuda.is_available():
            time.sleep(0.5)  # gloo's threads outlive their group; one that still works as Python ends aborts it all


def device() -> torch.device:
    """This process's own GPU, or the CPU.

    Raises:
        InputError: more processes on this machine than it has GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        raise InputError(f"process {number + 1} of this machine finds {torch.cuda.device_count()} GPUs; start torchrun "
                         "with one process a GPU (--nproc_per_node)")
    local = torch.device(f"cuda:{number}")
    torch.cuda.set_device(local)
    return local


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def own_number() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def share_of(batch_size: int) -> int:
    """This process's cases of a step: `batch_size` is the whole step's, however many processes take it.

    Raises:
        InputError: it cannot be shared equally.
    """
    if batch_size % count():
        raise InputError(f"batch_size {batch_size}: {count()} processes cannot share a step's cases equally; start "
                         "torchrun with another number of processes (--nproc_per_node), or give another batch_size")
    return batch_size // count()


def gather(value: T) -> list[T]:
    """Every process's value, in the processes' order; all of them must call it. Tensors must be on the CPU."""
    found: list[Any] = [value]
    if dist.is_initialized():
        found = [None] * count()
        dist.all_gather_object(found, value)
    return found


def mean(value: torch.Tensor) -> torch.Tensor:
    """The processes' mean of a number, the same in all of them."""
    value = value.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(value)
        value /= count()
    return value


def share(network: nn.Module) -> nn.Module:
    """The network with its gradients averaged over all processes, where there are several.

    A network whose attribute `leaves_out` is true may have parameters without a gradient in a step; in no process, they
    stay without, as in one process alone.
    """
    if not dist.is_initialized():
        return network
    return nn.parallel.DistributedDataParallel(network, find_unused_parameters=getattr(network, "leaves_out", False))


def all_agree(yes: bool) -> bool:
    """Whether all processes say yes; the caller's own word where there is one process."""
    if not dist.is_initialized():
        return yes
    vote = torch.tensor(int(yes))
    dist.all_reduce(vote, dist.ReduceOp.MIN)
    return bool(vote)


def last_word(error: BaseException) -> str | None:
    """What this process says of the error that ends it.

    Returns:
        one line; None: it has no line, and its traceback tells; empty: another process has said the run's one line.
    """
    message = one_line(error)
    if message is None and dist.is_initialized() and _lost_another(error):
        message = ("another process of this run has ended; the same command goes on from the last finished epoch, with "
                   "another number of processes too")
    return message if message is None or speaks() else ""


def speaks() -> bool:
    """Whether this process is the first that asks: what all processes would say is said once."""
    if not dist.is_initialized():
        return True
    try:
        store = dist.distributed_c10d._get_default_store()
        return bool(store.add("the run's last word", 1) == 1)
    except RuntimeError:  # who kept the store is gone
        return is_first()


def _lost_another(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _LOST):
            return True
        error = error.__cause__ or error.__context__
    return False
