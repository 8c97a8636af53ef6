"""A SLURM of one node on loopback: munge, controller and node as processes of this user, with a folder of their own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
_PLACES = ("/usr/sbin", "/sbin", "/usr/bin")

CONFIG = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
KillWait=5
MinJobAge=600
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=work Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def found() -> str | None:
    """Which of its programs is not installed; None where all are."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES])
    return next((name for name in PROGRAMS if shutil.which(name, path=path) is None), None)


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def one_node(folder: Path) -> Iterator[dict[str, str]]:
    """Run it while the block runs; yields the environment in which its commands find it.

    Args:
        folder: its own; no other user may write there or above, as munge demands.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"),
                   "PATH": os.pathsep.join([os.environ["PATH"], *_PLACES])}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    (folder / "slurm.conf").write_text(CONFIG.format(
        host=socket.gethostname().partition(".")[0], user=getpass.getuser(), folder=folder, controller=_port(),
        node=_port(), cores=os.cpu_count(), memory=memory))
    subprocess.run(["mungekey", "--create", f"--keyfile={folder}/munge.key"], check=True, env=environment)
    daemons: list[subprocess.Popen[bytes]] = []

    def begin(*words: str) -> None:
        log = (folder / f"{words[0]}.said").open("wb")
        daemons.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True))

    try:
        begin("munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
              f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed")
        _wait(lambda: (folder / "munge.socket").exists(), folder)
        begin("slurmctld", "-D")
        begin("slurmd", "-D")
        _wait(lambda: "idle" in subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True,
                                               env=environment, check=False).stdout, folder)
        yield environment
    finally:
        subprocess.run(["scancel", "--me"], env=environment, check=False, capture_output=True)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()


def _wait(ready, folder: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            said = "".join(f"--- {path.name}\n{path.read_text()[-1500:]}\n" for path in folder.glob("*.*")
                           if path.suffix in (".log", ".said"))
            raise RuntimeError(f"SLURM did not come up\n{said}")
        time.sleep(0.2)


if __name__ == "__main__":  # python tests/helpers/one_node_slurm.py FOLDER COMMAND …: run a command with it
    with one_node(Path(sys.argv[1])) as given:
        sys.exit(subprocess.run(sys.argv[2:], env=given, check=False).returncode)
