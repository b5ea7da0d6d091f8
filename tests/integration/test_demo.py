"""`kspace demo` as anybody runs it: its ending, its exit code, and that it can be looked at."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx

_KSPACE = str(Path(sys.executable).parent / "kspace")


def test_the_demonstration_shows_the_whole_way():
    done = subprocess.run([_KSPACE, "demo"], capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    for said in ("101 t1_mprage   verified", "55 gre_phantom  verified", "held", "skipped", "byte-identical"):
        assert said in done.stdout
    assert done.stderr == ""


def test_a_kept_demonstration_can_be_looked_at_and_ends_with_ctrl_c(tmp_path):
    command = [_KSPACE, "demo", "--keep", "--folder", str(tmp_path / "demo")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        said = ""
        for line in running.stdout or ():
            said += line
            if "kspace status" in line:
                break
        url = next(word for word in said.split() if word.startswith("http://"))
        assert "DEMO" in httpx.get(url).text
        config = str(tmp_path / "demo" / "relay.toml")
        status = subprocess.run([_KSPACE, "status", "--json", "-c", config], capture_output=True, text=True, check=True)
        assert json.loads(status.stdout)["counts"]["raw"] == {"verified": 2}
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
        assert running.returncode == 0


def test_a_second_engine_on_the_same_folder_is_refused(tmp_path):
    command = [_KSPACE, "demo", "--keep", "--folder", str(tmp_path / "demo")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stdout or ():
            if "kspace status" in line:
                break
        config = str(tmp_path / "demo" / "relay.toml")
        second = subprocess.run(
            [_KSPACE, "engine", "-c", config], capture_output=True, text=True, check=False, timeout=30
        )
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert second.returncode == 2
    assert "Another engine works on" in second.stderr
