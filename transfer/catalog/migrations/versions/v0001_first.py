"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from transfer.catalog.instant import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_REFUSE = "events are append-only"
_TRIGGERS_SQLITE = tuple(
    f"CREATE TRIGGER event_no_{act.lower()} BEFORE {act} ON event BEGIN SELECT RAISE(ABORT, '{_REFUSE}'); END"
    for act in ("UPDATE", "DELETE")
)
_TRIGGERS_POSTGRESQL = (
    f"""CREATE FUNCTION event_append_only() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '{_REFUSE}'; END $$""",
    """CREATE TRIGGER event_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION event_append_only()""",
)


def _id(table: str) -> tuple[sa.Column[int], sa.PrimaryKeyConstraint]:
    return sa.Column("id", sa.Integer(), nullable=False), sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}"))


def _work() -> list[sa.Column[Any]]:
    """Return the columns of a row that the engine claims."""
    return [
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("held_from", sa.String(length=16), nullable=True),
        sa.Column("held_code", sa.String(length=32), nullable=True),
        sa.Column("as_is", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("machine", sa.String(length=64), nullable=True),
        sa.Column("lane", sa.String(length=200), nullable=True),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", Instant(), nullable=True),
    ]


def upgrade() -> None:  # noqa: PLR0915 -- one statement a table or index
    """Create every table, and the triggers that keep events append-only."""
    op.create_table(
        "alert",
        *_id("alert"),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("raised_at", Instant(), nullable=False),
        sa.Column("cleared_at", Instant(), nullable=True),
        sa.Column("told_at", Instant(), nullable=True),
    )
    is_open = sa.text("cleared_at IS NULL")
    op.create_index("uq_alert_open", "alert", ["key"], unique=True, sqlite_where=is_open, postgresql_where=is_open)
    op.create_table(
        "event",
        *_id("event"),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=16), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(length=40), nullable=False),
        sa.Column("before", sa.String(length=16), nullable=True),
        sa.Column("after", sa.String(length=16), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
    )
    op.create_index(op.f("ix_event_subject_id"), "event", ["subject_id"], unique=False)
    op.create_table(
        "pause",
        sa.Column("what", sa.String(length=80), nullable=False),
        sa.Column("until_at", Instant(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("what", name=op.f("pk_pause")),
    )
    op.create_table(
        "source_file",
        *_id("source_file"),
        sa.Column("scanner", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("first_seen_at", Instant(), nullable=False),
        sa.Column("gone_at", Instant(), nullable=True),
        sa.UniqueConstraint("source", "path", "version", name=op.f("uq_source_file_source")),
    )
    key, there = ["source", "path", "version"], sa.text("gone_at IS NULL")
    op.create_index("ix_source_file_there", "source_file", key, sqlite_where=there, postgresql_where=there)
    op.create_table(
        "study",
        *_id("study"),
        sa.Column("study_uid", sa.String(length=64), nullable=False),
        sa.Column("called_ae", sa.String(length=16), nullable=False),
        sa.Column("calling_ae", sa.String(length=16), nullable=False),
        sa.Column("first_arrival_at", Instant(), nullable=False),
        sa.Column("last_arrival_at", Instant(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.UniqueConstraint("study_uid", name=op.f("uq_study_study_uid")),
    )
    op.create_table(
        "capture",
        *_id("capture"),
        sa.Column("source_file_id", sa.Integer(), nullable=False),
        *_work(),
        sa.Column("verdict", sa.String(length=40), nullable=True),
        sa.Column("verdict_reason", sa.Text(), nullable=True),
        sa.Column("verdict_position", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=True),
        sa.Column("manifest", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["source_file_id"], ["source_file.id"], name=op.f("fk_capture_source_file_id")),
        sa.UniqueConstraint("source_file_id", name=op.f("uq_capture_source_file_id")),
    )
    op.create_index("ix_capture_due", "capture", ["state", "due_at"], unique=False)
    op.create_index(op.f("ix_capture_sha256"), "capture", ["sha256"], unique=False)
    op.create_index(
        "uq_capture_lane",
        "capture",
        ["lane"],
        unique=True,
        sqlite_where=sa.text("lease_token IS NOT NULL"),
        postgresql_where=sa.text("lease_token IS NOT NULL"),
    )
    op.create_index(op.f("ix_study_last_arrival_at"), "study", ["last_arrival_at"], unique=False)
    op.create_table(
        "series",
        *_id("series"),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("series_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("protocol", sa.Text(), nullable=True),
        sa.Column("serial", sa.String(length=64), nullable=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("called_ae", sa.String(length=16), nullable=False),
        sa.Column("calling_ae", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_series_study_id")),
        sa.UniqueConstraint("series_uid", name=op.f("uq_series_series_uid")),
    )
    op.create_index(op.f("ix_series_study_id"), "series", ["study_id"], unique=False)
    op.create_index("ix_series_protocol", "series", ["serial", "protocol"], unique=False)
    op.create_table(
        "decision",
        *_id("decision"),
        sa.Column("capture_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=8), nullable=False),
        sa.Column("is_wanted", sa.Boolean(), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=True),
        sa.Column("project", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["capture_id"], ["capture.id"], name=op.f("fk_decision_capture_id")),
    )
    op.create_index(op.f("ix_decision_capture_id"), "decision", ["capture_id"], unique=False)
    op.create_table(
        "target",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("assigned_by", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_target_study_id")),
        sa.PrimaryKeyConstraint("study_id", "destination", name=op.f("pk_target")),
    )
    op.create_table(
        "delivery",
        *_id("delivery"),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("capture_id", sa.Integer(), nullable=True),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=True),
        sa.Column("session", sa.String(length=64), nullable=True),
        *_work(),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("former_places", sa.JSON(), nullable=True),
        sa.Column("experiment", sa.String(length=64), nullable=True),
        sa.Column("verified_at", Instant(), nullable=True),
        sa.Column("listed_at", Instant(), nullable=True),
        sa.Column("doubted", sa.JSON(), nullable=True),
        sa.Column("found", sa.JSON(), nullable=True),
        sa.Column("imported", sa.JSON(), nullable=True),
        sa.Column("refused", sa.JSON(), nullable=True),
        sa.Column("lacking", sa.JSON(), nullable=True),
        sa.Column("aliases", sa.JSON(), nullable=True),
        sa.Column("assigned_by", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["capture_id"], ["capture.id"], name=op.f("fk_delivery_capture_id")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_delivery_study_id")),
        sa.UniqueConstraint("capture_id", "study_id", "destination", name=op.f("uq_delivery_capture_id")),
    )
    op.create_index(op.f("ix_delivery_capture_id"), "delivery", ["capture_id"], unique=False)
    op.create_index("ix_delivery_due", "delivery", ["state", "due_at"], unique=False)
    op.create_index(op.f("ix_delivery_study_id"), "delivery", ["study_id"], unique=False)
    op.create_index(
        "uq_delivery_dicom",
        "delivery",
        ["study_id", "destination"],
        unique=True,
        sqlite_where=sa.text("kind = 'dicom'"),
        postgresql_where=sa.text("kind = 'dicom'"),
    )
    op.create_index(
        "uq_delivery_lane",
        "delivery",
        ["lane"],
        unique=True,
        sqlite_where=sa.text("lease_token IS NOT NULL"),
        postgresql_where=sa.text("lease_token IS NOT NULL"),
    )
    op.create_table(
        "instance",
        *_id("instance"),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("sop_uid", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("freed_at", Instant(), nullable=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_instance_series_id")),
        sa.UniqueConstraint("sop_uid", "sha256", name=op.f("uq_instance_sop_uid")),
    )
    op.create_index(op.f("ix_instance_series_id"), "instance", ["series_id"], unique=False)
    op.create_table(
        "match",
        *_id("match"),
        sa.Column("capture_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("series_uid", sa.String(length=64), nullable=True),
        sa.Column("series_uids", sa.JSON(), nullable=True),
        sa.Column("certainty", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("undone_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["capture_id"], ["capture.id"], name=op.f("fk_match_capture_id")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_match_study_id")),
    )
    op.create_index(op.f("ix_match_capture_id"), "match", ["capture_id"], unique=False)
    op.create_index(op.f("ix_match_study_id"), "match", ["study_id"], unique=False)
    op.create_table(
        "belonging",
        sa.Column("capture_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["capture_id"], ["capture.id"], name=op.f("fk_belonging_capture_id")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_belonging_study_id")),
        sa.PrimaryKeyConstraint("capture_id", name=op.f("pk_belonging")),
    )
    op.create_index(op.f("ix_belonging_study_id"), "belonging", ["study_id"], unique=False)
    op.create_table(
        "probe",
        *_id("probe"),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
    )
    op.create_index(op.f("ix_probe_destination"), "probe", ["destination"], unique=False)
    op.create_table(
        "body_limit",
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_body_limit")),
    )
    op.create_table(
        "dependency",
        sa.Column("capture_id", sa.Integer(), nullable=False),
        sa.Column("mid", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("is_wanted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["capture_id"], ["capture.id"], name=op.f("fk_dependency_capture_id")),
        sa.PrimaryKeyConstraint("capture_id", "mid", name=op.f("pk_dependency")),
    )
    op.create_index("ix_dependency_mid", "dependency", ["serial", "mid"], unique=False)
    op.create_table(
        "measurement",
        *_id("measurement"),
        sa.Column("capture_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("mid", sa.Integer(), nullable=True),
        sa.Column("serial", sa.String(length=64), nullable=True),
        sa.Column("protocol", sa.Text(), nullable=True),
        sa.Column("visit", sa.String(length=200), nullable=True),
        sa.Column("first_tick", sa.Integer(), nullable=True),
        sa.Column("last_tick", sa.Integer(), nullable=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["capture_id"], ["capture.id"], name=op.f("fk_measurement_capture_id")),
        sa.UniqueConstraint("capture_id", "number", name=op.f("uq_measurement_capture_id")),
    )
    op.create_index(op.f("ix_measurement_capture_id"), "measurement", ["capture_id"], unique=False)
    op.create_index(op.f("ix_measurement_serial"), "measurement", ["serial"], unique=False)
    op.create_index(op.f("ix_measurement_visit"), "measurement", ["visit"], unique=False)
    op.create_table(
        "series_tick",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("tick", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_series_tick_series_id")),
        sa.PrimaryKeyConstraint("series_id", "tick", name=op.f("pk_series_tick")),
    )
    op.create_table(
        "series_key",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_series_key_series_id")),
        sa.PrimaryKeyConstraint("key", "series_id", name=op.f("pk_series_key")),
    )
    op.create_table(
        "refusal",
        *_id("refusal"),
        sa.Column("sop_uid", sa.String(length=64), nullable=False),
        sa.Column("study_uid", sa.String(length=64), nullable=True),
        sa.Column("series_uid", sa.String(length=64), nullable=True),
        sa.Column("series_number", sa.BigInteger(), nullable=True),
        sa.Column("calling_ae", sa.String(length=16), nullable=False),
        sa.Column("called_ae", sa.String(length=16), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("arrived_at", Instant(), nullable=True),
    )
    op.create_index(op.f("ix_refusal_sop_uid"), "refusal", ["sop_uid"], unique=False)
    op.create_table(
        "commitment",
        *_id("commitment"),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("calling_ae", sa.String(length=16), nullable=False),
        sa.Column("called_ae", sa.String(length=16), nullable=False),
        sa.Column("machine", sa.String(length=64), nullable=False),
        sa.Column("requested_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("reported_at", Instant(), nullable=True),
        sa.UniqueConstraint("calling_ae", "transaction_uid", name=op.f("uq_commitment_calling_ae")),
    )
    op.create_index(op.f("ix_commitment_due_at"), "commitment", ["due_at"], unique=False)
    op.create_table(
        "commitment_item",
        sa.Column("commitment_id", sa.Integer(), nullable=False),
        sa.Column("sop_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_class", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["commitment_id"], ["commitment.id"], name=op.f("fk_commitment_item_commitment_id")),
        sa.PrimaryKeyConstraint("commitment_id", "sop_uid", name=op.f("pk_commitment_item")),
    )
    op.create_table(
        "evidence",
        *_id("evidence"),
        sa.Column("match_id", sa.Integer(), nullable=False),
        sa.Column("series_uid", sa.String(length=64), nullable=False),
        sa.Column("clue", sa.String(length=32), nullable=False),
        sa.Column("weight", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["match_id"], ["match.id"], name=op.f("fk_evidence_match_id")),
    )
    op.create_index(op.f("ix_evidence_match_id"), "evidence", ["match_id"], unique=False)
    op.create_table(
        "part",
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("md5", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_part_delivery_id")),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_part")),
    )
    op.create_table(
        "receipt",
        *_id("receipt"),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_receipt_delivery_id")),
    )
    op.create_index(op.f("ix_receipt_delivery_id"), "receipt", ["delivery_id"], unique=False)

    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _TRIGGERS_SQLITE if is_sqlite else _TRIGGERS_POSTGRESQL:
        op.execute(statement)
