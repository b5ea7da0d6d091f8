"""The S3 destination against real servers: uploads begun again, answers that lie, keys that change, rights."""

import threading

import pytest

from kspace.errors import KspaceError, Retry
from tests.servers.meddler import CUT, LOSE_ANSWER, Seen
from transfer.destinations import Body, Ranged
from transfer.destinations.errors import DestinationDown, Missing, NotHeld
from transfer.routing import session_name

MIB = 1 << 20
DATA = bytes(range(256)) * (4096 * 21)
"""21 MiB: five parts of 5 MiB."""
PARTS = 5
BODY = Body.of(DATA)
NAME = "0000007-0123456789ab/part-00001.bin"


class Power(KspaceError):
    """It went."""


def after(number):
    """Return a progress that ends the work at its so many-th call."""
    calls = []

    def told():
        calls.append(1)
        if len(calls) >= number:
            raise Power

    return told


def place_in(archive):
    return archive.open_place(project="P", experiment="0123456789ab", series_uid=None)


def uploads(bucket):
    return bucket.stock.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])


def is_whole(bucket, archive, place):
    assert archive.prove(place, {NAME: BODY})
    stored = bucket.stock.get_object(Bucket=bucket.name, Key=f"{place}/{NAME}")["Body"].read()
    return stored == DATA and uploads(bucket) == []


def once(which, how):
    """Return what a meddler does with the first such request."""
    done = threading.Event()

    def meddle(seen):
        if which(seen) and not done.is_set():
            done.set()
            return how
        return None

    return meddle


@pytest.mark.parametrize("parts_at_once", [1, 3])
def test_an_upload_goes_on_where_it_broke_off(bucket, parts_at_once):
    place = place_in(bucket.s3())
    with pytest.raises(Power):
        bucket.s3(parts_at_once=parts_at_once).put(place, NAME, BODY, progress=after(2))
    assert place_in(bucket.s3()), "another life"
    before = bucket.meddler.count(Seen.is_part)
    assert 2 <= before <= 2 + parts_at_once
    archive = bucket.s3(parts_at_once=parts_at_once)
    archive.put(place, NAME, BODY)
    assert bucket.meddler.count(Seen.is_part) == PARTS, "nothing was sent twice"
    assert is_whole(bucket, archive, place)


def test_a_part_that_was_cut_is_sent_again_and_no_other(bucket):
    archive = bucket.s3(parts_at_once=1)
    place = place_in(archive)
    bucket.meddler.meddle = lambda seen: CUT if "partNumber=3" in seen.path else None
    with pytest.raises(DestinationDown):
        archive.put(place, NAME, BODY)
    bucket.meddler.meddle = lambda _: None
    archive.put(place, NAME, BODY)
    assert bucket.meddler.count(Seen.is_part) == PARTS + 1
    assert is_whole(bucket, archive, place)


def test_a_part_that_is_not_what_was_sent_is_sent_again(bucket):
    archive = bucket.s3(parts_at_once=1)
    place = place_in(archive)
    with pytest.raises(Power):
        archive.put(place, NAME, BODY, progress=after(3))
    (upload,) = uploads(bucket)
    where = {"Bucket": bucket.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
    bucket.stock.upload_part(**where, PartNumber=2, Body=bytes(5 * MIB))
    archive.put(place, NAME, BODY)
    assert is_whole(bucket, archive, place)


def test_an_upload_that_somebody_aborts_begins_anew_by_itself(bucket):
    archive = bucket.s3(parts_at_once=1)
    place, calls = place_in(archive), []

    def abort_after_three():
        calls.append(1)
        if len(calls) == 3:
            (upload,) = uploads(bucket)
            where = {"Bucket": bucket.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
            bucket.stock.abort_multipart_upload(**where)

    archive.put(place, NAME, BODY, progress=abort_after_three)
    assert is_whole(bucket, archive, place)


def test_one_that_is_always_aborted_is_given_up_for_now(bucket):
    archive = bucket.s3(parts_at_once=1)
    place = place_in(archive)
    gone = b"<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>"
    bucket.meddler.meddle = lambda seen: (404, {}, gone) if seen.is_part() else None
    with pytest.raises(KspaceError, match="3 times") as caught:
        archive.put(place, NAME, BODY)
    assert caught.value.retry is Retry.LATER


def test_a_completion_of_which_nothing_was_heard_is_looked_for(bucket):
    archive = bucket.s3()
    place = place_in(archive)
    bucket.meddler.meddle = once(Seen.ends_upload, LOSE_ANSWER)
    with pytest.raises(DestinationDown):
        archive.put(place, NAME, BODY)
    assert archive.listing(place)[NAME].size == len(DATA)
    assert is_whole(bucket, archive, place)


def test_a_200_with_an_error_inside_completes_nothing(bucket):
    """CompleteMultipartUpload: "A request could contain an error in the body of a 200 response"."""
    archive = bucket.s3()
    place = place_in(archive)
    error = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>again</Message></Error>'
    bucket.meddler.meddle = once(Seen.ends_upload, (200, {"Content-Type": "application/xml"}, error))
    with pytest.raises(KspaceError, match="InternalError") as caught:
        archive.put(place, NAME, BODY)
    assert caught.value.retry is Retry.LATER
    with pytest.raises(NotHeld):
        archive.prove(place, {NAME: BODY})
    archive.put(place, NAME, BODY)
    assert bucket.meddler.count(Seen.is_part) == PARTS
    assert is_whole(bucket, archive, place)


@pytest.mark.parametrize("data", [b"small", DATA], ids=["small", "large"])
def test_a_page_for_people_is_no_answer(bucket, data):
    archive = bucket.s3()
    place = place_in(archive)
    bucket.meddler.meddle = lambda _: (200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
    with pytest.raises(DestinationDown):
        archive.put(place, NAME, Body.of(data))
    with pytest.raises(KspaceError):
        archive.listing(place)


def test_older_uploads_of_the_same_object_are_let_go_once_it_is_there(bucket):
    archive = bucket.s3()
    place = place_in(archive)
    for _ in range(2):
        bucket.stock.create_multipart_upload(Bucket=bucket.name, Key=f"{place}/{NAME}")
    other = bucket.stock.create_multipart_upload(Bucket=bucket.name, Key=f"{place}/{NAME}.other")["UploadId"]
    archive.put(place, NAME, BODY)
    assert [upload["UploadId"] for upload in uploads(bucket)] == [other], "another's is left alone"


def test_another_part_size_in_the_second_life_ends_well_too(bucket):
    place = place_in(bucket.s3())
    with pytest.raises(Power):
        bucket.s3(parts_at_once=1).put(place, NAME, BODY, progress=after(3))
    archive = bucket.s3(part_bytes=6 * MIB)
    archive.put(place, NAME, BODY)
    assert is_whole(bucket, archive, place)


def test_with_sha256_a_checksum_of_each_part_is_sent_and_checked(bucket):
    archive = bucket.s3(checksum="sha256")
    place = place_in(archive)
    with pytest.raises(Power):
        archive.put(place, NAME, BODY, progress=after(2))
    archive.put(place, NAME, BODY)
    parts = [seen for seen in bucket.meddler.seen if seen.is_part()]
    assert len(parts) == PARTS
    assert all(seen.headers["x-amz-checksum-sha256"] and seen.headers["content-md5"] for seen in parts)
    assert is_whole(bucket, archive, place)


def test_where_an_etag_is_no_md5_the_object_is_read_back(bucket):
    """SSE-KMS: "the ETag is not an MD5 digest of the object data" (Object, ETag)."""
    archive = bucket.s3()
    place = place_in(archive)
    archive.put(place, NAME, BODY)
    head = {"ETag": f'"{"0" * 32}-5"', "Content-Length": str(len(DATA))}
    bucket.meddler.meddle = lambda seen: (200, head, b"") if seen.method == "HEAD" else None
    assert archive.prove(place, {NAME: BODY})[NAME].digest == f"sha256:{BODY.sha256}"


def test_a_session_is_found_by_its_name_or_by_its_uid(bucket):
    archive, uid = bucket.s3(prefix="kspace/"), "1.2.3.4"
    place = archive.open_place(project="P", experiment=session_name(uid), series_uid="1.2")
    archive.put(place, NAME, Body.of(b"small"))
    assert place == f"kspace/P/{session_name(uid)}"
    for session in (uid, session_name(uid)):
        assert archive.places(project="P", session=session, scan=None) == [place]
    with pytest.raises(Missing, match="no such session"):
        archive.places(project="P", session="1.2.3.5", scan=None)
    with pytest.raises(Missing, match="no scans"):
        archive.places(project="P", session=uid, scan="5")


def test_more_objects_than_a_page_are_all_listed(bucket):
    archive = bucket.s3()
    for number in range(5):
        archive.put("P/s", f"f/{number}", Body.of(b"small"))
    pages = iter([2, 2, 2])
    real = archive._client.call

    def by_twos(operation, **given):
        next(pages)
        return real(operation, MaxKeys=2, **given)

    archive._client.call = by_twos
    assert set(archive.listing("P/s")) == {f"f/{number}" for number in range(5)}


def test_any_stretch_of_an_object_is_given_back_by_itself(bucket):
    archive = bucket.s3()
    place = place_in(archive)
    archive.put(place, NAME, BODY)
    assert isinstance(archive, Ranged)
    for start, size in ((0, 1), (5 * MIB - 3, 7), (len(DATA) - 9, 9), (0, len(DATA))):
        with archive.read_range(place, NAME, start=start, size=size) as blocks:
            assert b"".join(blocks) == DATA[start : start + size]
    with pytest.raises(NotHeld), archive.read_range(place, "gone", start=0, size=1) as blocks:
        next(blocks)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_part_that_the_server_lost_from_its_disk_is_found(bucket, is_first):
    """Swift answers 409, or ends the answer where the part begins; a line that breaks ends it anywhere."""
    archive = bucket.s3(parts_at_once=1)
    place = place_in(archive)
    before = set(bucket.disks.rglob("*.data"))
    archive.put(place, NAME, BODY)
    new = [path for path in set(bucket.disks.rglob("*.data")) - before if path.stat().st_size == 5 * MIB]
    parts = sorted(new, key=lambda path: path.stat().st_mtime_ns)
    assert len(parts) == PARTS - 1, "all but the last are whole"
    parts[0 if is_first else 2].unlink()
    with pytest.raises(NotHeld) as caught:
        archive.prove(place, {NAME: BODY}, afresh=True)
    assert caught.value.names == {NAME}
    archive.put(place, NAME, BODY)
    assert archive.prove(place, {NAME: BODY}, afresh=True)


def test_measuring_the_line_leaves_nothing_behind(bucket):
    archive = bucket.s3()
    before = bucket.meddler.count(Seen.is_part)
    assert archive.time_upload(BODY, project="P").bytes_per_s > 0
    assert bucket.meddler.count(Seen.is_part) - before >= PARTS
    assert uploads(bucket) == []
    listed = bucket.stock.list_objects_v2(Bucket=bucket.name).get("Contents", ())
    assert not [row for row in listed if "bench" in row["Key"]]
