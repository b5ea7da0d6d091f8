"""Siemens TWIX: layout tables, identity from the header, the walk that judges completeness, practice files."""
