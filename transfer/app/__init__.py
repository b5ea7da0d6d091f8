"""The relay put together, and its faces: the command line."""
