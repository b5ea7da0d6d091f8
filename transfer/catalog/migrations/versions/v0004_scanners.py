"""What is known of the scanners besides their files."""

import sqlalchemy as sa
from alembic import op

from transfer.catalog.instant import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    is_open = sa.text("ended_at IS NULL")
    op.create_table(
        "raw_store",
        sa.Column("scanner", sa.String(length=64), nullable=False),
        sa.Column("capacity_bytes", sa.BigInteger(), nullable=True),
        sa.Column("free_bytes", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("scanner", name=op.f("pk_raw_store")),
    )
    op.create_table(
        "on_scanner",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scanner", sa.String(length=64), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("meas_id", sa.Integer(), nullable=False),
        sa.Column("created", sa.String(length=19), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("listed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_on_scanner")),
        sa.UniqueConstraint("scanner", "file_id", "meas_id", "created", name=op.f("uq_on_scanner_scanner")),
    )
    op.create_table(
        "deletion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("capture_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("asked_by", sa.String(length=64), nullable=False),
        sa.Column("machine", sa.String(length=64), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["capture_id"], ["capture.id"], name=op.f("fk_deletion_capture_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deletion")),
    )
    op.create_index(
        "uq_deletion_open", "deletion", ["capture_id"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ix_deletion_source", "deletion", ["source", "state"])
