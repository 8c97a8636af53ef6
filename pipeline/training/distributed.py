"""Several processes, one a GPU: `torchrun -m monai.bundle run … bundles/common/multi_gpu.yaml`."""

from __future__ import annotations

import os
import time

import torch
import torch.distributed as dist
from torch import nn


def start() -> None:
    """Join the process group that torchrun announces; nothing without torchrun, or where it is joined already."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def stop() -> None:
    """Leave the process group."""
    if dist.is_initialized():
        dist.barrier()  # nobody leaves while another still sends: gloo's threads would abort it
        dist.destroy_process_group()
        if not torch.cuda.is_available():
            time.sleep(0.5)  # gloo's threads outlive their group; one that still works as Python ends aborts it all


def device() -> torch.device:
    """This process's own GPU, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    torch.cuda.set_device(local)
    return local


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def share(network: nn.Module) -> nn.Module:
    """The network with its gradients averaged over all processes, where there are several."""
    return nn.parallel.DistributedDataParallel(network) if dist.is_initialized() else network


def all_agree(yes: bool) -> bool:
    """Whether all processes say yes; the caller's own word where there is one process."""
    if not dist.is_initialized():
        return yes
    vote = torch.tensor(int(yes))
    dist.all_reduce(vote, dist.ReduceOp.MIN)
    return bool(vote)
