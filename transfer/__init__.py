"""The way out: the only package with state, remote archives and user interfaces."""
