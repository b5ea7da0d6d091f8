"""Which archives of DICOM files the importer takes, and what becomes of damaged ones (XNAT: DicomZipImporter)."""

import io
import struct
import tarfile
import zipfile

import pytest
from pydicom.uid import generate_uid


def commit(client, answer, **params):
    return client.post(answer.text.strip(), params={"action": "commit", **params})


def test_of_a_cut_zip_what_was_read_is_kept(relay, send, dicoms):
    """The zip is read as it comes (ZipInputStream): 400, and its first objects are in the prearchive."""
    whole = dicoms.zip(dicoms.one(), dicoms.one(), dicoms.one())
    third = whole.index(b"2.dcm")
    assert send(whole[: third + 50]).status_code == 400
    dicoms.series = generate_uid()
    done = commit(relay, send(dicoms.zip(dicoms.one(SeriesNumber=4))), AA="true")
    assert len(relay.get(f"{done.text}/scans/3/files").json()["ResultSet"]["Result"]) == 2


@pytest.mark.parametrize("way", ["stored", "streamed", "zip64", "tar", "tgz", "single"])
def test_containers(relay, send, dicoms, way):
    """DicomZipImporter takes zip, tar and tgz; gradual-DICOM one object."""
    content, out = dicoms.one(), io.BytesIO()
    if way in {"tar", "tgz"}:
        with tarfile.open(fileobj=out, mode="w:gz" if way == "tgz" else "w") as packed:
            info = tarfile.TarInfo("a.dcm")
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
        fields = {"import-handler": "DICOM-zip", "project": "P"}
        answer = relay.post("/data/services/import", data=fields, files={"f": (f"a.{way}", out.getvalue())})
    elif way == "single":
        params = {"import-handler": "gradual-DICOM", "project": "P"}
        headers = {"content-type": "application/dicom"}
        answer = relay.post("/data/services/import", params=params, content=content, headers=headers)
    else:
        sink, kind = Unseekable() if way == "streamed" else out, zipfile.ZIP_STORED if way == "stored" else 8
        with zipfile.ZipFile(sink, "w", kind) as packed, packed.open("a.dcm", "w", force_zip64=way == "zip64") as entry:
            entry.write(content)
        answer = send(sink.getvalue())
    assert answer.status_code == 200
    assert answer.text.startswith("/data/prearchive/projects/P/")


class Unseekable(io.BytesIO):
    def seekable(self):
        return False

    def tell(self):
        raise OSError

    def seek(self, *_):
        raise OSError


def test_stored_entries_whose_length_follows_are_refused(send, dicoms):
    """java.util.zip.ZipInputStream: only DEFLATED entries can have EXT descriptor."""
    sink = Unseekable()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as packed, packed.open("a.dcm", "w") as entry:
        entry.write(dicoms.one())
    answer = send(sink.getvalue())
    assert answer.status_code == 400
    assert "EXT descriptor" in answer.text


@pytest.mark.parametrize("harm", ["crc", "deflate", "encrypted"])
def test_damaged_zips_are_refused(send, dicoms, harm):
    whole = bytearray(dicoms.zip(dicoms.one()))
    if harm == "crc":
        struct.pack_into("<I", whole, 14, 1)
    elif harm == "encrypted":
        whole[6] |= 1
    else:
        whole[40:60] = b"\xff" * 20
    assert send(bytes(whole)).status_code == 400
