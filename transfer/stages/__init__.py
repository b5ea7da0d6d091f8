"""One file a stage, one function a file: a record and the ports it needs in, an outcome out. None sees the catalog."""
