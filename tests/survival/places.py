"""Where cases lie: those that failed now, those that failed once, and the real files that are mutated."""

import os
from pathlib import Path

FAILURES = Path("fuzz-failures")
CORPUS = Path(__file__).parent / "corpus"
"""Cases that failed once; each is sent again by the tests."""
REAL_FILES = Path(os.environ.get("SEGWATCH_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
"""Generated data sets are mutated where this folder does not exist."""
