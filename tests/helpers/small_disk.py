"""`python -m tests.helpers.small_disk BYTES MODULE …`: a program where no file may grow beyond so many bytes.

What a full disk does to it.
"""

import resource
import runpy
import signal
import sys

size, module = int(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
sys.argv = sys.argv[2:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
