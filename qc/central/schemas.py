"""Writes the JSON Schemas of what central publishes: `python -m qc.central.schemas docs/reference`."""

import json
import sys
from pathlib import Path

from qc.central.messages import json_schemas


def write_schemas(folder: Path) -> None:
    """Write one file per message."""
    for name, schema in json_schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
