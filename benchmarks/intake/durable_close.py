"""Builds the library that makes a server durable which is not, and sees that it is really loaded."""

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def build(folder: Path) -> Path:
    """Compile the library with the system's C compiler into `folder`; gives its path."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        sys.exit("the durable storescp needs a C compiler, e.g. the Debian packages gcc and libc6-dev")
    library = folder / "durable_close.so"
    command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{SOURCE.name} does not compile:\n{done.stderr}")
    return library


def check_loaded(pid: int, library: Path) -> None:
    """Raise RuntimeError when the process does not have the library: the loader only warns of one that it ignores."""
    if str(library) not in Path(f"/proc/{pid}/maps").read_text():
        raise RuntimeError(f"the server runs without {library.name}")
