"""What people are told: the outbox, and acknowledgements."""

import sqlalchemy as sa
from alembic import op

from transfer.catalog.instant import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sink", sa.String(length=64), nullable=False),
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("since_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("framed_at", Instant(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("machine", sa.String(length=64), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("sent_at", Instant(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    for name, condition in (
        ("uq_outbox_owed", "framed_at IS NULL AND sent_at IS NULL"),
        ("uq_outbox_report", "kind = 'report'"),
    ):
        where = sa.text(condition)
        op.create_index(name, "outbox", ["sink", "topic"], unique=True, sqlite_where=where, postgresql_where=where)
    op.create_index("ix_outbox_due", "outbox", ["sink", "sent_at", "due_at"])
    op.create_table(
        "acknowledgement",
        sa.Column("alert_id", sa.Integer(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"], name=op.f("fk_acknowledgement_alert_id")),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_acknowledgement")),
    )
