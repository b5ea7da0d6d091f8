"""The digest of what must survive every rewriting of a DICOM header: the image itself."""

from hashlib import sha256
from pathlib import Path

import pydicom

_BULK = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "SpectroscopyData")


def bulk_digest(path: Path) -> tuple[str, str]:
    """Return an instance's SOP Instance UID and the SHA-256 over its bulk data elements' values.

    Archives rewrite headers (file meta information, anonymisation); these values they leave alone. Objects without
    bulk data have the digest of nothing, so for them only the UID is evidence.

    Raises:
        pydicom.errors.InvalidDicomError: this is no DICOM file.
    """
    dataset = pydicom.dcmread(path)
    digest = sha256()
    for keyword in _BULK:
        if keyword in dataset and isinstance(value := dataset[keyword].value, bytes):
            digest.update(value)
    return str(dataset.SOPInstanceUID), digest.hexdigest()
