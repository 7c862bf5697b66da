import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

_COUNT = """
import ctypes, sys, threading
from dicom_listener.receiving.malloc_arenas import limit_malloc_arenas
if sys.argv[1] == "limited":
    limit_malloc_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
together = threading.Barrier(8)
def use():
    together.wait()
    libc.malloc(100_000)
    together.wait()
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def _arenas(how: str, report: Path) -> int:
    subprocess.run([sys.executable, "-c", _COUNT, how, report], check=True)
    return report.read_text().count("<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc")
def test_threads_share_a_few_arenas(tmp_path: Path) -> None:
    assert _arenas("limited", tmp_path / "limited.xml") <= 2
    assert _arenas("as it comes", tmp_path / "free.xml") > 2
