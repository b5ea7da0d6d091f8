"""What a server's own log says that the relay did: it looked and it read, and the scanner could do what it liked."""

import re
import subprocess

import pytest

CHANGING = re.compile(
    r"\|(?:pwrite\w*|write\w*|sendfile_w|rename\w*|unlink\w*|mkdir\w*|rmdir\w*|ftruncate|fallocate|fchmod|fchown|lchown"
    r"|fntimes|symlink\w*|link\w*|mknod\w*|fsetxattr|fremovexattr|fset_nt_acl|fset_dos_attributes|set_dos_attributes"
    r"|sys_acl_set\w*|lock|brl_lock_windows|linux_setlease|kernel_flock|fsync\w*|recvfile|offload_write\w*)\|"
)
"""Operations of Samba's vfs_full_audit that change a file or hold it for somebody."""


@pytest.fixture
def folder(park):
    made = park.folder()
    (made / "deep").mkdir()
    for name in ("1200.dat", "deep/1201.dat", "deep/1202.txt"):
        (made / name).write_bytes(b"x" * 100_000)
    return made


def use(source) -> None:
    """Do all that the relay ever does with a source."""
    for found in source.find():
        assert source.stat(found.path).size == 100_000
        with source.open(found.path) as reader:
            assert reader.read(50_000, 100) == b"x" * 100
            assert len(reader.read(0, 200_000)) == 100_000
    source.free_bytes()
    with pytest.raises(Exception, match="nothing at this place"):
        source.stat("1300.dat")


def new_in(server, work) -> str:
    before = len(server.logged())
    work()
    return server.logged()[before:]


def test_samba_saw_nothing_written_renamed_locked_or_deleted(park, folder):
    said = new_in(park.server("smb"), lambda: use(park.wrapped("smb", folder)))
    assert "pread" in said
    assert "1201.dat" in said
    assert CHANGING.findall(said) == []
    opened = set(re.findall(r"\|(?:openat|create_file)\|ok\|(\w[^|\n]*)\|", said))
    assert opened <= {"r", "0x80", "0x81"}, "opened for more than reading"


def test_samba_does_log_what_changes_files(park, folder, requires):
    """The test above can fail: the same server logs a client that does change something."""
    said = new_in(
        park.server("smb"), lambda: smbclient(park, folder, requires, "rename 1200.dat 1300.dat; del 1300.dat")
    )
    assert {"|renameat|", "|unlinkat|"} <= set(CHANGING.findall(said))


def test_sshd_saw_only_looks_and_reads(park, folder):
    server = park.server("sftp")
    said = new_in(server, lambda: use(park.wrapped("sftp", folder)))
    told = [line for line in said.splitlines() if "sftp" in line.lower() or "open" in line or "close" in line]
    modes = re.findall(r'open "[^"]*" flags (\S+) mode', said)
    assert modes
    assert set(modes) == {"READ"}
    assert not [
        line for line in told if re.search(r"\b(WRITE|rename|remove|mkdir|rmdir|symlink|setstat|fsetstat|set )", line)
    ]
    assert set(re.findall(r"bytes read \d+ written (\d+)", said)) == {"0"}


@pytest.mark.parametrize(
    ("kind", "sent"), [("ftp", r"<- ([A-Z]{3,4})"), ("vsftpd", r'FTP command: Client "[^"]*", "([A-Z]+)')]
)
def test_an_ftp_server_was_sent_only_commands_that_read(park, folder, kind, sent):
    said = new_in(park.server(kind), lambda: use(park.wrapped(kind, folder)))
    reading = {
        "USER",
        "PASS",
        "TYPE",
        "PWD",
        "CWD",
        "FEAT",
        "OPTS",
        "MLSD",
        "LIST",
        "SIZE",
        "MDTM",
        "PASV",
        "REST",
        "RETR",
    }
    commands = set(re.findall(sent, said))
    assert {"RETR", "SIZE"} <= commands <= reading


def test_the_scanner_may_write_rename_and_delete_over_smb_meanwhile(park, folder, requires, tmp_path):
    (tmp_path / "more").write_bytes(b"y" * 200_000)
    source = park.bare("smb", folder)
    with source.open("1200.dat") as reader, source.open("deep/1201.dat") as other:
        assert reader.read(0, 5) == b"xxxxx"
        said = smbclient(park, folder, requires, f"put {tmp_path}/more 1200.dat; rename deep/1201.dat deep/1210.dat")
        assert "NT_STATUS" not in said.replace("NT_STATUS_OK", "")
        assert reader.read(150_000, 5) == b"yyyyy"
        assert other.read(0, 5) == b"xxxxx"
        assert "NT_STATUS" not in smbclient(park, folder, requires, "del deep/1210.dat")
    assert [f.path for f in source.find()] == ["1200.dat"]


def test_samba_holds_no_oplock_and_shares_all_with_the_relay(park, folder, requires):
    config = park.base / "servers/smb/smb.conf"
    with park.bare("smb", folder).open("1200.dat") as reader:
        reader.read(0, 5)
        told = subprocess.run(
            [requires("smbstatus"), "-s", config, "-L"], capture_output=True, text=True, check=True
        ).stdout
        held = [line.split() for line in told.splitlines() if "1200.dat" in line]
        assert [line[2:6] for line in held] == [["DENY_NONE", "0x81", "RDONLY", "NONE"]]


def smbclient(park, folder, requires, commands: str) -> str:
    """Run commands of Samba's own client in the folder, as the scanner would."""
    given = [requires("smbclient"), "-p", str(park.server("smb").port), "-U", "relay%secret"]
    given += ["//127.0.0.1/raw", "-D", folder.name, "-c", commands]
    ended = subprocess.run(given, capture_output=True, text=True, check=False, timeout=60)
    return ended.stdout + ended.stderr
