"""Old servers, strange servers, refusals and odd names: each is said in one sentence that tells what to do."""

import os

import pytest

from kspace.errors import FileUnreadable, SourceError, SourceRefused
from tests.servers import shares

NAMES = [
    b"caf\xe9.dat",
    b"m\xc3\xbcller.dat",
    b"a b'c\"#%&;.dat",
    b"12:30 x.DAT",
    b"x" * 251 + b".dat",
    "ü".encode() * 125 + b"x.dat",
]


@pytest.fixture
def folder(park):
    made = park.folder()
    (made / "1200.dat").write_bytes(b"x" * 1000)
    return made


@pytest.mark.parametrize("kind", ["share", "sftp", "vsftpd"])
@pytest.mark.parametrize("name", NAMES, ids=lambda n: n[:12].decode("latin-1"))
def test_any_name_is_listed_looked_at_and_read(park, folder, kind, name):
    with open(os.fsencode(folder) + b"/" + name, "wb") as out:  # noqa: PTH123 -- names may be bytes
        out.write(b"hello")
    source = park.bare(kind, folder)
    (found,) = [f for f in source.find() if f.path != "1200.dat"]
    found.path.encode()  # databases take no lone surrogates
    assert source.stat(found.path) == found
    with source.open(found.path) as reader:
        assert reader.read(1, 3) == b"ell"


@pytest.mark.parametrize("name", [n for n in NAMES if b"\xe9" not in n and b'"' not in n and b":" not in n])
def test_any_name_that_windows_knows_is_read_by_smb(park, folder, name):
    test_any_name_is_listed_looked_at_and_read(park, folder, "smb", name)


@pytest.mark.parametrize("name", [b'a"b.dat', b"12:30.dat"])
def test_a_name_that_windows_does_not_know_is_read_by_smb_under_its_short_name(park, folder, name):
    with open(os.fsencode(folder) + b"/" + name, "wb") as out:  # noqa: PTH123 -- names may be bytes
        out.write(b"hello")
    source = park.bare("smb", folder)
    (found,) = [f for f in source.find() if f.path != "1200.dat"]
    assert found.size == 5
    with source.open(found.path) as reader:
        assert reader.read(0, 9) == b"hello"


@pytest.fixture(scope="module")
def full(park):
    made = park.folder()
    (made / "deep").mkdir()
    for number in range(700):  # more than one answer of a server holds
        (made / f"{number:0200}.dat").touch()
        if not number % 7:
            (made / "deep" / f"{number}.dat").touch()
    return made


@pytest.mark.parametrize("kind", ["share", "smb", "sftp", "ftp", "vsftpd"])
def test_a_listing_of_many_is_whole(park, full, kind):
    found = [f.path for f in park.wrapped(kind, full).find()]
    assert len(found) == len(set(found)) == 800


@pytest.mark.parametrize("kind", ["smb", "ftp"])
def test_a_wrong_password_is_refused_and_seldom_tried_again(park, folder, kind, tmp_path):
    (tmp_path / "wrong").write_text("wrong\n")
    with pytest.raises(SourceRefused, match="password") as caught:
        list(park.bare(kind, folder, password={"file": tmp_path / "wrong"}).find())
    assert caught.value.pauses
    assert caught.value.pause_s >= 600
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("kind", ["smb", "ftp"])
def test_a_password_whose_file_is_missing_blames_no_file_of_the_share(park, folder, kind, tmp_path):
    with pytest.raises(SourceRefused, match="secret's file") as caught:
        park.bare(kind, folder, password={"file": tmp_path / "none"}).stat("1200.dat")
    assert caught.value.pauses


def test_a_share_that_does_not_exist_is_named_as_such(park, folder):
    with pytest.raises(SourceError, match="no share of that name"):
        list(park.bare("smb", folder, share="raws").find())


def test_another_host_key_is_another_machine_and_is_told_nothing(park, folder, requires, tmp_path):
    other = shares.make_key(tmp_path / "other", requires=requires)
    server = park.server("sftp")
    before = server.logged().count("Accepted")
    with pytest.raises(SourceRefused, match="not one of host_keys"):
        list(park.bare("sftp", folder, host_keys=[other]).find())
    assert server.logged().count("Accepted") == before


def test_a_key_that_the_server_does_not_know_is_refused(park, folder, requires, tmp_path):
    shares.make_key(tmp_path / "other", requires=requires)
    with pytest.raises(SourceRefused, match="refuses the account"):
        list(park.bare("sftp", folder, key=tmp_path / "other").find())


OLD_CONSOLES = [
    "KexAlgorithms diffie-hellman-group14-sha1\nMACs hmac-sha1\nCiphers aes128-cbc",
    "KexAlgorithms diffie-hellman-group1-sha1\nMACs hmac-md5\nCiphers 3des-cbc",
]


@pytest.mark.parametrize("options", OLD_CONSOLES, ids=["of 2012", "of 2005"])
def test_old_ssh_is_spoken_only_where_it_was_allowed_and_warned_of(park, folder, requires, tmp_path, options):
    options += "\nHostKeyAlgorithms ssh-rsa\nPubkeyAcceptedAlgorithms +ssh-rsa"
    with shares.sshd(park.base / "raw", at=tmp_path / "old", requires=requires, key="rsa", options=options) as server:
        at, user = tmp_path / "old", shares.account_here()
        given = {
            "port": server.port, "user": user, "key": at / "id", "host_keys": [shares.public_key(at / "host")],
        }  # fmt: skip
        with pytest.raises(SourceError, match="old_algorithms = true"):
            list(park.bare("sftp", folder, **given).find())
        old = park.bare("sftp", folder, **given, old_algorithms=True)
        assert [f.path for f in old.find()] == ["1200.dat"]
    assert "old SSH algorithms" in old._settings.warning


def test_a_server_of_smb_1_alone_is_named_with_the_way_around_it(park, folder, requires, tmp_path):
    options = "server min protocol = NT1\nserver max protocol = NT1"
    with (
        shares.samba(park.base / "raw", at=tmp_path / "old", requires=requires, options=options) as server,
        pytest.raises(SourceError, match=r"mount it with vers=1\.0"),
    ):
        list(park.bare("smb", folder, port=server.port, timeout_s=3.0).find())


@pytest.mark.parametrize("dialect", ["SMB2_02", "SMB2_10", "SMB3_00"])
def test_smb_of_older_windows_is_spoken(park, folder, requires, tmp_path, dialect):
    (folder / "1201.dat").write_bytes(os.urandom(3_000_000))
    with shares.samba(
        park.base / "raw", at=tmp_path / "old", requires=requires, options=f"server max protocol = {dialect}"
    ) as server:
        source = park.bare("smb", folder, port=server.port)
        assert {f.path for f in source.find()} == {"1200.dat", "1201.dat"}
        with source.open("1201.dat") as reader:
            assert reader.read(7, 4_000_000) == (folder / "1201.dat").read_bytes()[7:]


def test_a_link_is_not_followed(park, folder):
    (folder / "1201.dat").symlink_to("1200.dat")
    source = park.bare("sftp", folder)
    assert [f.path for f in source.find()] == ["1200.dat"]
    for act in (lambda: source.stat("1201.dat"), lambda: source.open("1201.dat").__enter__()):
        with pytest.raises(FileUnreadable, match="nothing was changed"):
            act()
