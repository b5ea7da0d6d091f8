"""What S3 servers refuse, what keys may do, and what of it people are told: each answer has its kind."""

from datetime import UTC, datetime

import pytest
from botocore.config import Config

from kspace.errors import ConfigError, KspaceError, Retry
from tests.servers.meddler import Seen
from tests.servers.nginx import nginx_before
from tests.servers.swift import SECRET, stock_client
from transfer.destinations import Body
from transfer.destinations.errors import DestinationDown, Forbidden, Refused, Unauthorized

MIB = 1 << 20
DATA = bytes(6 * MIB)
"""Two parts of 5 MiB."""
BODY = Body.of(DATA)
NAME = "0000007-0123456789ab/part-00001.bin"


def place_in(archive):
    return archive.open_place(project="P", experiment="0123456789ab", series_uid=None)


def test_encryption_is_asked_for_with_each_object(bucket):
    """This server has none and says so (501): nothing is stored in clear instead."""
    archive = bucket.s3(encryption="aws:kms", kms_key="key-1")
    place = place_in(archive)
    for data in (b"small", DATA):
        with pytest.raises(Refused, match="NotImplemented") as caught:
            archive.put(place, NAME, Body.of(data))
        assert caught.value.retry is Retry.PERSON
        sent = bucket.meddler.seen[-1].headers
        assert sent["x-amz-server-side-encryption"] == "aws:kms"
        assert sent["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
    assert archive.listing(place) == {}


def test_keys_are_read_anew(bucket):
    archive = bucket.s3()
    bucket.keys["secret_key"].write_text("expired")
    with pytest.raises(Unauthorized):
        archive.listing("x")
    bucket.keys["secret_key"].write_text(SECRET + "\n")
    assert archive.listing("x") == {}
    bucket.keys["secret_key"].unlink()
    with pytest.raises(Unauthorized, match="cannot be signed in to"):
        archive.listing("x")


def test_a_refusal_of_keys_that_were_just_replaced_is_no_long_pause(bucket):
    archive = bucket.s3()
    bucket.keys["secret_key"].write_text("expired")

    def replace(_seen):
        bucket.keys["secret_key"].write_text(SECRET)

    bucket.meddler.meddle = replace
    with pytest.raises(DestinationDown, match="just now"):
        archive.listing("x")
    assert archive.listing("x") == {}


def test_a_session_token_is_sent_and_read_anew(bucket, tmp_path):
    token = tmp_path / "token"
    token.write_text("first")
    archive = bucket.s3(session_token={"file": str(token)})
    archive.listing("x")
    token.write_text("second")
    archive.listing("x")
    sent = [seen.headers["x-amz-security-token"] for seen in bucket.meddler.seen]
    assert sent == ["first", "second"]


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId"])
def test_expired_keys_pause_the_whole_destination(bucket, code):
    said = f"<Error><Code>{code}</Code><Message>AKIASECRET</Message></Error>".encode()
    bucket.meddler.meddle = lambda _: (400, {}, said)
    with pytest.raises(Unauthorized) as caught:
        bucket.s3().listing("x")
    assert "AKIASECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "QuotaExceeded", "Full"),
        (507, "XMinioStorageFull", "Full"),
        (503, "SlowDown", "DestinationDown"),
        (500, "InternalError", "DestinationError"),
        (403, "RequestTimeTooSkewed", "DestinationDown"),
        (413, "", "FullOrTooLarge"),
        (301, "PermanentRedirect", "Refused"),
        (403, "AccessDenied", "Forbidden"),
        (404, "NoSuchBucket", "Missing"),
        (400, "BadDigest", "DestinationError"),
    ],
)
def test_each_refusal_has_its_kind(bucket, status, code, kind):
    archive = bucket.s3()
    body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode() if code else b""
    bucket.meddler.meddle = lambda _: (status, {}, body)
    with pytest.raises(KspaceError) as caught:
        archive.put("P/s", NAME, Body.of(b"small"))
    assert type(caught.value).__name__ == kind, caught.value
    assert str(caught.value).count(".") >= 2 or kind == "DestinationError", "it says what is safe and what to do"


def test_a_head_that_is_refused_is_explained_by_a_listing(bucket):
    archive = bucket.s3()
    bucket.keys["secret_key"].write_text("expired")
    with pytest.raises(Unauthorized):
        archive.prove("P/s", {NAME: BODY})
    expired = b"<Error><Code>ExpiredToken</Code><Message>m</Message></Error>"
    bucket.meddler.meddle = lambda seen: (400, {}, b"" if seen.method == "HEAD" else expired)
    with pytest.raises(Unauthorized, match="ExpiredToken"):
        archive.prove("P/s", {NAME: BODY})


def test_nothing_is_taken_from_the_environment(bucket, monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[default]\nregion = nowhere\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_PROFILE": "none-such",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_CA_BUNDLE": "/none/such",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
    }.items():
        monkeypatch.setenv(name, value)
    assert bucket.s3().listing("x") == {}


def test_a_proxy_is_gone_through(bucket, monkeypatch):
    url = bucket.meddler.url
    archive = bucket.s3(endpoint="http://none.such.invalid", proxy={"url": url})
    bucket.meddler.meddle = lambda _: (
        200,
        {},
        b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    )
    assert archive.listing("x") == {}
    assert bucket.meddler.seen[-1].path.startswith("http://none.such.invalid/")


def test_the_check_tries_all_and_advises(bucket):
    archive = bucket.s3()
    assert archive.check() == f"may write to, read and list bucket {bucket.name} at {bucket.meddler.url}"
    advice = archive.advice()
    assert [line for line in advice if "may delete" in line]
    assert [line for line in advice if "versions" in line]
    assert archive.listing("") == {}, "what it wrote is gone again"


def test_uploads_that_nobody_ended_are_told(bucket):
    archive = bucket.s3()
    listed = (
        "<ListMultipartUploadsResult><Upload><Key>x</Key><UploadId>1</UploadId><Initiated>2020-01-01T00:00:00Z"
        f"</Initiated></Upload><Upload><Key>y</Key><UploadId>2</UploadId><Initiated>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        "</Initiated></Upload><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
    )
    bucket.meddler.meddle = lambda seen: (200, {}, listed.encode()) if "uploads" in seen.path else None
    assert [line for line in archive.advice() if line.startswith("1 uploads were begun over a week ago")]


def test_rights_that_are_not_needed_may_be_missing(bucket):
    archive = bucket.s3()
    place = place_in(archive)
    bucket.stock.create_multipart_upload(Bucket=bucket.name, Key=f"{place}/{NAME}")
    bucket.stock.create_multipart_upload(Bucket=bucket.name, Key=f"{place}/{NAME}")
    denied = b"<Error><Code>AccessDenied</Code><Message>m</Message></Error>"

    def deny(seen):
        may_not = seen.method == "DELETE" or "versioning" in seen.path
        return (403, {}, denied) if may_not else None

    bucket.meddler.meddle = deny
    assert archive.check()
    assert archive.advice() == []
    archive.put(place, NAME, BODY)
    assert archive.prove(place, {NAME: BODY})


def test_who_may_not_write_sends_not_a_byte(bucket):
    archive = bucket.s3()
    place = place_in(archive)
    denied = b"<Error><Code>AccessDenied</Code><Message>m</Message></Error>"
    bucket.meddler.meddle = lambda seen: (403, {}, denied) if seen.method in {"PUT", "POST"} else None
    with pytest.raises(Forbidden):
        archive.put(place, NAME, BODY)
    assert bucket.meddler.count(Seen.is_part) == 0


def test_keys_that_are_not_there_are_told_before_the_start(bucket, tmp_path):
    with pytest.raises(ConfigError):
        bucket.s3(access_key={"file": str(tmp_path / "none")})


@pytest.fixture
def border(request, requires, tmp_path):
    """Return a border before the older server, and its bucket."""
    bucket = request.getfixturevalue("old_bucket")
    with nginx_before(bucket.meddler.url, tmp_path / "nginx", requires) as running:
        yield running, bucket


def test_behind_a_border_the_older_server_refuses_what_others_send_and_takes_what_the_relay_sends(border):
    tls, bucket = border
    stock = stock_client(tls.url, verify=tls.ca_file, config=Config(client_cert=(tls.client_cert, tls.client_key)))
    with pytest.raises(stock.exceptions.ClientError, match="NotImplemented"):
        stock.put_object(Bucket=bucket.name, Key="x", Body=b"x")
    reach = {"endpoint": tls.url, "ca_file": tls.ca_file, "client_cert": tls.client_cert, "client_key": tls.client_key}
    archive = bucket.s3(**reach)
    place = place_in(archive)
    archive.put(place, NAME, BODY)
    assert archive.prove(place, {NAME: BODY})
    with pytest.raises(DestinationDown, match="SSLError"):
        bucket.s3(**reach | {"ca_file": None}).check()  # nobody it knows has signed the server
    with pytest.raises(Refused, match="400"):
        bucket.s3(endpoint=tls.url, ca_file=tls.ca_file).check()  # nginx wants a certificate
