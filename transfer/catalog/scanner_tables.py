"""The tables of what is known of the scanners besides their files. Of the same schema as `transfer.catalog.tables`."""

from sqlalchemy import BigInteger, Column, String, Table

from transfer.catalog.tables import metadata

raw_store = Table(
    "raw_store",
    metadata,
    Column("scanner", String(64), primary_key=True),
    Column("capacity_bytes", BigInteger),
    Column("free_bytes", BigInteger),
)
"""How much a scanner's store holds, as the configuration says it, and how much is free there, as its shares say it."""
