"""The rules of projects, version by version."""

import sqlalchemy as sa
from alembic import op

from transfer.catalog.instant import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_REFUSE = "versions of rules are append-only"
_TRIGGERS_SQLITE = tuple(
    f"CREATE TRIGGER rule_version_no_{act.lower()} BEFORE {act} ON rule_version "
    f"BEGIN SELECT RAISE(ABORT, '{_REFUSE}'); END"
    for act in ("UPDATE", "DELETE")
)
_TRIGGERS_POSTGRESQL = (
    f"""CREATE FUNCTION rule_version_append_only() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '{_REFUSE}'; END $$""",
    """CREATE TRIGGER rule_version_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_version
    FOR EACH STATEMENT EXECUTE FUNCTION rule_version_append_only()""",
)


def upgrade() -> None:
    """Create the table, and what keeps it as it was written."""
    op.create_table(
        "rule_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("same_as", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_version")),
        sa.UniqueConstraint("project", "version", name=op.f("uq_rule_version_project")),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _TRIGGERS_SQLITE if is_sqlite else _TRIGGERS_POSTGRESQL:
        op.execute(statement)
