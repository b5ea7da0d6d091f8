"""The zip reader against Python's own writer: whole, streamed, cut anywhere."""

import io
import zipfile

from hypothesis import given
from hypothesis import strategies as st

from transfer.sandbox.unzip import BrokenZip, entries

CONTENTS = st.lists(st.binary(max_size=300), min_size=1, max_size=4)


def packed(contents, *, streams):
    """Return a zip; a streamed one tells every length after its entry (data descriptor)."""
    out = io.BytesIO()
    sink = Stream(out) if streams else out
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}", content)
    return out.getvalue()


class Stream:
    """A file that can only be written on."""

    def __init__(self, out):
        self.write, self.flush = out.write, out.flush


@given(contents=CONTENTS, streams=st.booleans())
def test_every_entry_is_read_as_it_was_written(contents, streams):
    found = list(entries(io.BytesIO(packed(contents, streams=streams))))
    assert found == [(str(number), content) for number, content in enumerate(contents)]


@given(contents=CONTENTS, streams=st.booleans(), share=st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_cut_zip_yields_its_first_entries_and_no_other(contents, streams, share):
    whole = packed(contents, streams=streams)
    found = []
    try:
        for _, content in entries(io.BytesIO(whole[: int(len(whole) * share)])):
            found.append(content)
    except BrokenZip:
        assert len(found) <= len(contents)
    else:
        assert len(found) == len(contents)
    assert found == contents[: len(found)]
