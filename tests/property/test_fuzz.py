"""The fuzzer for a short, bounded time; `fuzz_twix.py` says how to run it longer."""

import subprocess
import sys
from pathlib import Path

import pytest

_SECONDS = 15


@pytest.mark.slow
def test_no_bytes_break_the_header_or_the_walk(tmp_path, data_folder):
    target = Path(__file__).with_name("fuzz_twix.py")
    options = [f"-max_total_time={_SECONDS}", "-max_len=1400000", "-rss_limit_mb=2000", f"-artifact_prefix={tmp_path}/"]
    command = [sys.executable, str(target), str(tmp_path), str(data_folder / "twix"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS * 8)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done " in done.stderr, "the fuzzer did not run to its end"
