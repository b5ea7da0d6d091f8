"""The truth table of each clue: supports, contradicts, silent, and the words for it."""

from array import array
from dataclasses import replace

import pytest

from dicom.join import default_clues
from dicom.records import Series, Weight
from dicom.ticks import DAY
from kspace.records import Measurement

FOR = "1.3.12.2.1107.5.2.32.35287.{}.20240322140748296.0.0.0"
UUID = "4f0c2f3e-8a61-4c7b-9f10-3d2b6a5e7c81"
FIRST = 26_422_493
RAW = Measurement(
    index=0,
    offset=0,
    header_bytes=1,
    baseline="VB",
    serial="35287",
    protocol="sol12",
    lprotid=-222,
    frame_of_reference=FOR.format(1),
    protocol_digest="0123456789abcdef",
    free_uuid=UUID,
    ticks=array("I", range(FIRST, FIRST + 256 * 8, 8)),
)
DICOM = Series(
    series_uid="1.2.3.4",
    study_uid="1.2.3",
    number=53,
    protocol="sol12",
    serial="35287",
    lprotid=-222,
    protocol_digest="0123456789abcdef",
    free_uuid=UUID,
    frame_of_reference=FOR.format(1),
    sop_uids=frozenset({"1.2.3.4.1", "1.2.3.4.2"}),
    ticks=frozenset({FIRST}),
)
YES, NO, SILENT = Weight.SUPPORTS, Weight.CONTRADICTS, Weight.SILENT
OTHER_FOR = "1.3.12.2.1107.5.2.32.35287.1.20240322150000000.0.0.0"
SET_BACK = array("I", [FIRST, FIRST + 8, FIRST + 4, FIRST + 12])
LATE = array("I", [DAY - 4, DAY - 2, 0, 2])

TABLE = [
    ("serial", {}, {}, YES, "same scanner 35287"),
    ("serial", {}, {"serial": "45385"}, NO, "scanner 35287 against scanner 45385"),
    ("serial", {"serial": "035287"}, {}, NO, "scanner 035287 against scanner 35287"),
    ("serial", {"serial": None}, {}, YES, "same scanner 35287"),
    ("serial", {}, {"serial": None}, YES, "same scanner 35287"),
    ("serial", {}, {"serial": None, "frame_of_reference": None}, SILENT, "serial number missing in the DICOM"),
    ("frame_of_reference", {}, {}, YES, "same frame of reference 35287, 20240322140748296"),
    ("frame_of_reference", {}, {"frame_of_reference": FOR.format(2)}, YES, "same frame of reference 35287, 2024"),
    ("frame_of_reference", {}, {"frame_of_reference": OTHER_FOR}, SILENT, "frames of reference 35287, 2024"),
    ("frame_of_reference", {}, {"frame_of_reference": "1.3.12.2.1107.5.2.43.166042.300000250116173"}, SILENT, None),
    ("frame_of_reference", {"frame_of_reference": None}, {}, SILENT, "frame of reference missing in the raw data"),
    ("study_uid", {"study_uid": "1.2.3"}, {}, YES, "same study 1.2.3"),
    ("study_uid", {"study_uid": "1.2.9"}, {}, NO, "study 1.2.9 against study 1.2.3"),
    ("study_uid", {}, {}, SILENT, "study UID missing in the raw data, as always before XA"),
    ("reference_image", {"reference_image_uids": ("1.2.3.4.1", "9")}, {}, YES, "planned on 1 of this series' images"),
    ("reference_image", {"reference_image_uids": ("1.9;1.2.3.4.2;1",)}, {}, YES, None),
    ("reference_image", {"reference_image_uids": ("9",)}, {}, SILENT, "planned on no image of this series"),
    ("reference_image", {"reference_image_uids": ("",)}, {"sop_uids": frozenset({""})}, SILENT, None),
    ("reference_image", {}, {}, SILENT, "the raw data name no planning image"),
    ("lprotid", {}, {}, YES, "protocol number -222 on both sides"),
    ("lprotid", {}, {"lprotid": 222}, NO, "protocol number -222 against 222"),
    ("lprotid", {"lprotid": 0}, {"lprotid": 0}, YES, None),
    ("lprotid", {"lprotid": None}, {"lprotid": None}, SILENT, "protocol number missing in the raw data"),
    ("tick", {}, {}, YES, "acquisition 18:20:56.2325 is readout 1 of 256"),
    ("tick", {}, {"ticks": frozenset({FIRST + 1, FIRST + 80})}, YES, "acquisition 18:20:56.4325 is readout 11 of 256"),
    ("tick", {}, {"ticks": frozenset({FIRST + 1})}, SILENT, "acquisition 18:20:56.2350 is no readout's time"),
    ("tick", {}, {"ticks": frozenset({FIRST - 1})}, NO, "acquisition 18:20:56.2300 lies outside"),
    ("tick", {}, {"ticks": frozenset()}, SILENT, "acquisition times missing in the DICOM"),
    ("tick", {"ticks": array("I")}, {}, SILENT, "acquisition times missing in the raw data"),
    ("tick", {"ticks": LATE}, {"ticks": frozenset({2})}, YES, "acquisition 00:00:00.0050 is readout 4 of 4"),
    ("tick", {"ticks": LATE}, {"ticks": frozenset({1})}, SILENT, None),
    ("tick", {"ticks": LATE}, {"ticks": frozenset({3})}, NO, None),
    ("tick", {"ticks": array("I", [DAY, DAY + 2])}, {"ticks": frozenset({2})}, YES, None),
    ("tick", {}, {"ticks": frozenset({FIRST, FIRST - 1})}, SILENT, "only 1 of 2 acquisition times lie within"),
    ("first_readout", {}, {}, YES, "the first acquisition 18:20:56.2325 is the first readout"),
    ("first_readout", {}, {"ticks": frozenset({FIRST, FIRST + 80})}, YES, None),
    (
        "first_readout",
        {},
        {"ticks": frozenset({FIRST + 80})},
        SILENT,
        "the first acquisition 18:20:56.4325 is later",
    ),
    ("first_readout", {}, {"ticks": frozenset({FIRST, FIRST - 1})}, SILENT, "acquisition times lie outside"),
    ("first_readout", {"ticks": LATE}, {"ticks": frozenset({0, DAY - 4})}, YES, "the first acquisition 23:59:59.9900"),
    ("first_readout", {"ticks": array("I")}, {}, SILENT, "acquisition times missing in the raw data"),
    ("first_readout", {"ticks": SET_BACK}, {}, SILENT, "acquisition times missing in the raw data"),
    ("interval", {}, {"ticks": frozenset({FIRST + 1})}, YES, "acquisition 18:20:56.2350 lies within 18:20:56.2325 to "),
    ("interval", {}, {"ticks": frozenset({FIRST - 1})}, NO, "acquisition 18:20:56.2300 lies outside 18:20:56.2325 to "),
    ("interval", {}, {"ticks": frozenset({FIRST, FIRST - 1})}, SILENT, "only 1 of 2 acquisition times lie within"),
    ("interval", {"ticks": LATE}, {"ticks": frozenset({1})}, YES, "acquisition 00:00:00.0025 lies within "),
    ("interval", {}, {"ticks": frozenset()}, SILENT, None),
    ("protocol_text", {}, {}, YES, "the whole protocol text is the same"),
    ("protocol_text", {}, {"protocol_digest": "f" * 16}, SILENT, "protocol texts differ"),
    ("protocol_text", {"protocol_digest": None}, {}, SILENT, "protocol text missing in the raw data"),
    ("protocol_text", {}, {"protocol_digest": None}, SILENT, "protocol text missing in the DICOM"),
    ("sequence_uuid", {}, {}, YES, "the sequence's mark 4f0c2f3e-"),
    ("sequence_uuid", {"free_uuid": UUID.upper()}, {}, YES, None),
    ("sequence_uuid", {}, {"free_uuid": UUID.replace("4", "5")}, NO, f"the sequence's mark {UUID} against 5f0c2f3e-"),
    ("sequence_uuid", {"free_uuid": None}, {}, SILENT, "no mark of the sequence in the raw data"),
    ("sequence_uuid", {}, {"free_uuid": None}, SILENT, "no mark of the sequence in the DICOM"),
    ("protocol_name", {}, {}, YES, "same protocol name"),
    ("protocol_name", {"protocol": "ep2d+AF8-bold"}, {"protocol": "ep2d_bold"}, YES, None),
    ("protocol_name", {"protocol": "ro_dur_pe+"}, {"protocol": "ro_dur_pe+"}, YES, None),
    ("protocol_name", {}, {"protocol": "sol13"}, NO, "protocol names differ"),
    ("protocol_name", {"protocol": None}, {}, SILENT, "protocol name missing in the raw data"),
]


@pytest.mark.parametrize(("name", "raw", "image", "weight", "detail"), TABLE)
def test_truth_table(name, raw, image, weight, detail):
    clue = next(clue for clue in default_clues() if clue.name == name)
    said = clue.judge(replace(RAW, **raw), replace(DICOM, **image))
    assert said.weight is weight
    assert detail is None or said.detail.startswith(detail)


NEVER_CONTRADICTS = {"frame_of_reference", "reference_image", "first_readout", "protocol_text"}


def test_every_clue_has_a_line_for_each_of_its_answers():
    for clue in default_clues():
        answers = {weight for name, _, _, weight, _ in TABLE if name == clue.name}
        assert answers == set(Weight) - ({NO} if clue.name in NEVER_CONTRADICTS else set()), clue.name
