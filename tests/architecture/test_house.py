"""The repository as a whole: layers, lock file, what lies at its top, and the changelog."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = {
    *("kspace", "dicom", "hardware", "transfer", "tests", "docs"),
    *("README.md", "LICENSE", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "requirements.lock"),
    "relay.example.toml",
    *(".ci", ".editorconfig", ".gitattributes", ".gitignore", ".npmrc", ".pre-commit-config.yaml"),
}
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|home|Users|tmp|var/tmp)/\w")
ADDRESS = re.compile(r"://|^\s*-(?:i|f|-index-url|-extra-index-url|-find-links)\b", re.MULTILINE)
PIN = re.compile(r"^[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==\S+", re.MULTILINE)
FRAGMENT = re.compile(r"\A(?:Added|Changed|Fixed|Removed|Security): [A-Z][^\n]{10,110}\.\n(?:\n[A-Z](?s:.)+\.\n)?\Z")


@pytest.fixture(scope="module")
def tracked(requires) -> list[str]:
    listed = subprocess.run([requires("git"), "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.rstrip("\0").split("\0")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_packages_keep_their_layers():
    ended = lint_imports(ROOT)
    assert ended.returncode == 0, ended.stdout
    assert "3 kept, 0 broken" in ended.stdout


def test_the_layer_check_finds_an_import_upwards(tmp_path):
    for name, text in {"floor_storey": "import upper_storey\n", "upper_storey": ""}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.importlinter]\nroot_packages = ["floor_storey", "upper_storey"]\n'
        '[[tool.importlinter.contracts]]\nname = "storeys"\ntype = "layers"\n'
        'layers = ["upper_storey", "floor_storey"]\n'
    )
    assert "0 kept, 1 broken" in lint_imports(tmp_path).stdout


def test_the_top_of_the_repository_is_small(tracked):
    assert {name.split("/")[0] for name in tracked} <= TOP


def test_no_tracked_file_names_a_place_on_one_machine(tracked):
    found = []
    for name in tracked:
        text = (ROOT / name).read_bytes().decode("utf-8", errors="replace") if (ROOT / name).is_file() else ""
        found += [f"{name}: {match.group()}" for match in MACHINE_PATH.finditer(text)]
    assert found == []


def test_the_check_for_machine_paths_can_fail():
    assert MACHINE_PATH.search(f'open("/{"home"}/me/file")')
    assert not MACHINE_PATH.search("GET /data/experiments/E/resources, docs/home/page, https://example.org/work/x")


def test_no_tracked_file_is_large_or_raw_data(tracked):
    sizes = {name: (ROOT / name).stat().st_size for name in tracked if (ROOT / name).is_file()}
    assert {name: size for name, size in sizes.items() if size > 1_000_000 or name.endswith((".dat", ".dcm"))} == {}


def test_the_lock_pins_with_hashes_and_names_no_host():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = list(PIN.finditer(lock))
    ends = [*(pin.start() for pin in pins[1:]), len(lock)]
    assert len(pins) > 50
    assert all("--hash=sha256:" in lock[pin.start() : end] for pin, end in zip(pins, ends, strict=True))
    assert not ADDRESS.search(lock)


@pytest.mark.parametrize("line", ["a @ https://files.example.org/a.whl", "--index-url x", "-i x"])
def test_the_check_for_hosts_can_fail(line):
    assert ADDRESS.search(f"a==1 \\\n    --hash=sha256:00\n{line}\n")


def test_every_dependency_has_its_reason():
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    names = set(re.findall(r'^ *"([A-Za-z0-9-]+)(?:\[\w+\])?>=', declared, re.MULTILINE))
    names |= set(re.findall(r'"([a-z-]+)(?:\[\w+\])?>=[\d.]+"\]', declared))
    reasons = (ROOT / "docs/design/dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([A-Za-z0-9-]+)` \|", reasons, re.MULTILINE))
    assert len(names) > 20
    assert explained == names


def test_changelog_fragments_have_the_form_of_their_template():
    fragments = sorted((ROOT / "docs/changelog/unreleased").iterdir())
    assert [path.name for path in fragments if not FRAGMENT.match(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "text",
    [
        "Improved: The relay is better now.\n",
        "Added: no capital letter and no full stop\n",
        "Fixed: A file was lost.\n\n\n",
        "Fixed: X.\n",
    ],
)
def test_the_form_of_a_fragment_can_be_missed(text):
    assert not FRAGMENT.match(text)
