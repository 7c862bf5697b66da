"""ONNX Runtime as Segwatch uses it: the only place that imports it, because of what must be said before.

Recent releases of the engine gather events about models and machines in the user's cache folder, under an identifier of
the machine, and send them to its maker unless they are told not to before they are loaded. A hospital's server sends
nothing that nobody asked for.
"""

import os

# nothing is read from the environment here; the engine reads this as it is loaded
os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as engine_errors

onnxruntime.disable_telemetry_events()

__all__ = ["engine_errors", "onnxruntime"]
