"""Starts receivers: a process that has read all code and makes a copy of itself for each one it is asked for.

`python -m dicom_listener.receiving DESCRIPTOR`; the listener runs it. A copy is there in a millisecond and shares the
memory; a process of its own would read the code again, which takes a third of a second.
"""

import gc
import os
import signal
import socket
import sys
import warnings
from typing import NoReturn

from dicom_listener.receiving.channel import Channel
from dicom_listener.receiving.malloc_arenas import limit_malloc_arenas
from dicom_listener.receiving.receiver import run_receiver


def main() -> None:
    """Wait for descriptors of channels, and start a receiver for each, until the listener is gone."""
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit("segwatch starts this by itself; run: segwatch listen")
    # what is sent to the whole group is for the listener: it gives its peers time, and then this process ends
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that ended
    # libraries quote values of data sets in their warnings, and standard error is the log; those of the listener are
    # silenced by whoever starts its log
    warnings.simplefilter("ignore")
    limit_malloc_arenas()
    gc.collect()
    gc.freeze()  # a collection would write to what is shared
    with socket.socket(fileno=int(sys.argv[1])) as wanted:
        while True:
            data, descriptors, _, _ = socket.recv_fds(wanted, 1, 2)
            if not data:
                return
            if os.fork() == 0:
                _be_receiver(wanted, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


def _be_receiver(wanted: socket.socket, descriptors: list[int]) -> NoReturn:
    """In the copy: nothing of what follows in the original may run here."""
    status = 1
    try:
        wanted.close()
        run_receiver(Channel.of_descriptors(*descriptors))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
