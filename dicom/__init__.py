"""The DICOM sidecar: the listener, what a series says of itself, and the join of raw data to series."""
