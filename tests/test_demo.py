"""The demo, as ``make demo`` runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_demo_walks_the_whole_loop(tmp_path):
    script = ROOT / "examples" / "demo.py"
    if not script.exists():
        pytest.skip("examples are not installed here")
    run = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    verbs = re.findall(r"^\$ staytuned (\w+)", run.stdout, flags=re.MULTILINE)
    assert verbs == ["tune", "models", "predict", "watch", "watch", "tend", "watch", "history"]
    verdicts = re.findall(r"^(HEALTHY|ATTENTION): ", run.stdout, flags=re.MULTILINE)
    assert verdicts[:2] == ["HEALTHY", "ATTENTION"]
    assert run.stdout.count("(exit code 1)") == verdicts.count("ATTENTION")
    for name in ("report", "model", "ledger"):
        [place] = re.findall(rf"^  {name} +(/\S+)", run.stdout, flags=re.MULTILINE)
        assert Path(place).is_file()
