"""Imported before anything else: one thread per process, and the folder above on the path."""

import os
import sys
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.append(str(Path(__file__).resolve().parents[1]))
