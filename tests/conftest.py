"""What every part's tests share: tools, sample files and databases, all real.

Where one of them is missing, the test is skipped with a sentence. With KSPACE_REQUIRE_ALL set, as in `.ci/run`, every
skipped test fails instead: a skip must not look like a pass.
"""

import importlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
import structlog

sys.path.append(str(Path(__file__).parents[1]))
"""Last, so that `tests.…` can be imported and yet the installed wheel comes before the source tree."""

_DEBIAN_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("KSPACE_REQUIRE_ALL"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"KSPACE_REQUIRE_ALL is set, so this may not be skipped. {reason}"
    return report


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """Leave no test the log set-up of a command that ran in the test before it.

    A relay that runs in the test's own process logs as every relay does, to standard error: what a command prints
    beside it stays what the command printed.
    """
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def requires() -> Callable[[str], str]:
    """Return the path of a program, or skip: `storescu = requires("storescu")`."""

    def find(program: str) -> str:
        # pynetdicom installs a storescu of its own beside python: dcmtk's is meant.
        ours = str(Path(sys.executable).parent)
        on_path = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != ours]
        folders = [*on_path, "/usr/sbin", *map(str, _DEBIAN_POSTGRES[-1:])]
        path = shutil.which(program, path=os.pathsep.join(folders))
        return path or pytest.skip(f"The program {program} is not installed; `make test` installs it.")

    return find


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of real sample files, or skip."""
    folder = os.environ.get("KSPACE_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("There are no real sample files; set KSPACE_TEST_DATA to their folder.")
    return Path(folder)


@pytest.fixture(scope="session")
def postgres_server(requires) -> Iterator[Path]:
    """Run a private PostgreSQL cluster and yield the folder of its socket.

    PostgreSQL refuses to run as root, so root runs it as `postgres`. Nothing is synced: it dies with the tests.
    """
    initdb, pg_ctl = requires("initdb"), requires("pg_ctl")
    account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        if account:
            shutil.chown(folder, "postgres", "postgres")

        def run(*command: str) -> None:
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **account)

        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c full_page_writes=off"
        run(initdb, "-D", "data", "-U", "relay", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        run(pg_ctl, "-D", "data", "-l", "log", "-o", options, "-w", "start")
        try:
            yield folder
        finally:
            run(pg_ctl, "-D", "data", "-m", "immediate", "-w", "stop")


@pytest.fixture(scope="session")
def _database_numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def postgres_url(postgres_server, _database_numbers) -> str:
    """Return the URL of an empty PostgreSQL database of this test's own."""
    name = f"test_{next(_database_numbers)}"
    with psycopg.connect(host=str(postgres_server), user="relay", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://relay@/{name}?host={postgres_server}"


@pytest.fixture
def pyxnat(tmp_path, monkeypatch) -> Iterator[ModuleType]:
    """pyxnat imports nibabel and pandas at start without declaring them, and uses neither here: empty ones do."""
    wanted = [name for name in ("nibabel", "pandas") if importlib.util.find_spec(name) is None]
    (tmp_path / "empty").mkdir()
    for name in wanted:
        (tmp_path / "empty" / f"{name}.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "empty"))
    yield importlib.import_module("pyxnat")
    for name in wanted:
        sys.modules.pop(name, None)
