"""Every mistake in the configuration is named with its key, and the scanner's protection cannot be taken away."""

import pytest

from kspace.errors import ConfigError
from transfer.config import load_config

SCANNER = 'RELAY\n[[scanner]]\nname = "s1"\nsource = [{ kind = "share", path = "/mnt/raw" }]\n'
DESTINATION = (
    '[[destination]]\nkind = "xnat"\nname = "central"\nurl = "https://xnat.example"\nuser = "relay"\n'
    'password = { env = "XNAT_PASSWORD" }\n'
)


def test_the_least_configuration_has_safe_defaults(configured):
    config = configured(SCANNER + DESTINATION)
    (scanner,) = config.scanner
    assert (scanner.limit_mbit_per_s, scanner.poll_s, scanner.practice) == (250.0, 30.0, False)
    assert config.dicom[0].host == "127.0.0.1"
    assert config.relay.catalog_url.startswith("sqlite:///")
    assert config.rule == ()


@pytest.mark.parametrize("value", ["0", "-1", "-0.0", "nan", "inf", '"off"', "false", "1e9"])
def test_the_limiter_cannot_be_switched_off(configured, value):
    with pytest.raises(ConfigError, match="limit_mbit_per_s"):
        configured(SCANNER + f"limit_mbit_per_s = {value}\n")


@pytest.mark.parametrize("value", ["19", "19.9", "1", "0", "-5", "nan", "inf"])
def test_a_scanner_is_not_polled_without_a_pause(configured, value):
    with pytest.raises(ConfigError, match="poll_s"):
        configured(SCANNER + f"poll_s = {value}\n")


def test_a_practice_folder_may_be_polled_as_often_as_one_likes(configured):
    assert configured(SCANNER + "poll_s = 0.5\npractice = true\n").scanner[0].poll_s == 0.5
    assert configured(SCANNER + "poll_s = 20\n").scanner[0].poll_s == 20


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
@pytest.mark.parametrize("key", ["quiet_s", "patience_s"])
def test_waiting_times_are_numbers_of_seconds(configured, key, value):
    with pytest.raises(ConfigError, match=key):
        configured(SCANNER + f"{key} = {value}\n")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "relay"),
        ("[relay]\n", r"relay\.folder"),
        ('RELAY\nnmae = "x"\n', r"relay\.nmae"),
        ("RELAY\nworkers = 0\n", r"relay\.workers"),
        ('RELAY\nname = "a b"\n', r"relay\.name"),
        ("RELAY\nchunk_bytes = 1\n", r"relay\.chunk_bytes"),
        ('log = "loud"\nRELAY', "log"),
        (SCANNER.replace("source = [", "sources = ["), r"scanner\.0\.source"),
        (SCANNER.replace('"share"', '"floppy"'), "floppy"),
        (SCANNER.replace("path =", "folder ="), "folder"),
        (SCANNER.replace('source = [{ kind = "share", path = "/mnt/raw" }]', "source = []"), r"scanner\.0\.source"),
        (SCANNER + SCANNER.removeprefix("RELAY"), "two scanners are called s1"),
        ("RELAY" + DESTINATION + DESTINATION, "two destinations are called central"),
        ("RELAY" + DESTINATION.replace("url =", "ulr ="), "ulr"),
        ("RELAY" + DESTINATION.replace("https://", "ftp://"), "url"),
        ("RELAY" + DESTINATION.replace('{ env = "XNAT_PASSWORD" }', '"geheim"'), "password"),
        ('RELAY\n[[route]]\ndestinations = ["nowhere"]\n', "'nowhere'"),
        ('RELAY\n[[rule]]\nname = "a"\nproject = "p"\nidentified_raw = "allow"\n', "identified_raw"),
        ('RELAY\n[[rule]]\nname = "a"\nproject = "p"\n' * 1 + '[[rule]]\nname = "a"\nproject = "q"\n', "two rules"),
        ("RELAY\n[pool]\nrefuse_above_percent = 80\n", "pool"),
        ("RELAY\n[dicom]\nport = 70000\n", r"dicom\.0\.port"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_key(configured, text, key):
    with pytest.raises(ConfigError, match=key):
        configured(text)


def test_every_mistake_is_told_at_once_on_a_line_of_its_own(configured):
    with pytest.raises(ConfigError) as caught:
        configured(SCANNER + "limit_mbit_per_s = 0\nquiet_s = -1\n[dicom]\nport = -1\n")
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all(any(key in line for line in lines[1:]) for key in ("limit_mbit_per_s", "quiet_s", "dicom.0.port"))


def test_a_password_in_the_configuration_is_refused_and_not_repeated(configured):
    with pytest.raises(ConfigError) as caught:
        configured("RELAY" + DESTINATION.replace('{ env = "XNAT_PASSWORD" }', '"geheim"'))
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "RELAY" + DESTINATION.replace("https://", "https://relay:geheim@"),
        "RELAY" + DESTINATION.replace("https://", "https://geheim@"),
        "RELAY" + DESTINATION.replace('env = "XNAT_PASSWORD"', 'file = "geheim"'),
        "RELAY" + DESTINATION.replace("XNAT_PASSWORD", "geheim!"),
        "RELAY" + DESTINATION + 'proxy = { url = "http://relay:geheim@proxy.example" }\n',
        'RELAYcatalog = "postgresql+psycopg://relay:geheim@database.example/relay"\n',
        'RELAYcatalog = "postgresql+psycopg://database.example/relay?user=relay&password=geheim"\n',
    ],
)
def test_a_secret_where_none_belongs_is_refused_and_not_repeated(configured, text):
    with pytest.raises(ConfigError) as caught:
        configured(text)
    assert "geheim" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_toml_is_said_so(configured, tmp_path):
    with pytest.raises(ConfigError, match="is no TOML"):
        configured("[relay\n")
    (tmp_path / "relay.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="is no TOML"):
        load_config(tmp_path / "relay.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "nothing.toml")


DELETE = SCANNER.replace(
    'path = "/mnt/raw"', 'path = "/mnt/raw", delete = { consent = "WHO may delete on s1", by = "Head of MR" }'
)


def test_nothing_is_deleted_on_a_scanner_unless_relay_and_scanner_are_named(configured):
    assert configured(SCANNER).scanner[0].source[0].get("delete") is None
    with pytest.raises(ConfigError, match=r"without consent = \".* may delete on s1\""):
        configured(DELETE)
    mine = configured(SCANNER).relay.name
    assert configured(DELETE.replace("WHO", mine))
    with pytest.raises(ConfigError, match="hold_s"):
        configured(DELETE.replace("WHO", mine).replace(", by =", ", hold_s = 3600.0, by ="))


def test_a_folder_that_the_relay_serves_is_emptied_in_one_way(configured):
    served = 'serve = { share = "s1", address = "10.1.2.3", user = "s1", quota_gb = 1.0 }'
    given = DELETE.replace('"share"', '"drop"', 1).replace("delete =", f"{served}, delete =")
    with pytest.raises(ConfigError, match="take `delete` away"):
        configured(given)
