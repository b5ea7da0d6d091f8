"""The catalog's tables (SQLAlchemy Core). A change here needs a migration; a test compares the two."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from transfer.catalog.instant import Instant

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _work() -> list[Column[Any]]:
    """The columns of a row that the engine claims: its state, its lease, and when it is due."""
    return [
        Column("state", String(16), nullable=False),
        Column("since_at", Instant, nullable=False),
        Column("due_at", Instant, nullable=False),
        Column("reason", Text),
        Column("held_from", String(16)),
        Column("held_code", String(32)),
        Column("as_is", Boolean, nullable=False, server_default=text("false")),
        *(Column(n, Integer, nullable=False, server_default="0") for n in ("attempts", "failures", "priority")),
        Column("machine", String(64)),
        Column("lane", String(200)),
        Column("lease_token", String(32)),
        Column("lease_owner", String(64)),
        Column("lease_until", Instant),
    ]


def _leases(table: str) -> list[Index]:
    """Find due rows quickly, and let the database itself refuse two leases in one lane."""
    return [
        Index(f"ix_{table}_due", "state", "due_at"),
        Index(f"uq_{table}_lane", "lane", unique=True, **_where("lease_token IS NOT NULL")),
    ]


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


source_file = Table(
    "source_file",
    metadata,
    _id(),
    Column("scanner", String(64), nullable=False),
    Column("source", String(64), nullable=False),
    Column("scope", String(8), nullable=False),
    Column("path", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    Column("gone_at", Instant),
    UniqueConstraint("source", "path", "version"),
    Index("ix_source_file_there", "source", "path", "version", **_where("gone_at IS NULL")),
)

capture = Table(
    "capture",
    metadata,
    _id(),
    Column("source_file_id", ForeignKey("source_file.id"), nullable=False, unique=True),
    *_work(),
    Column("verdict", String(40)),
    Column("verdict_reason", Text),
    Column("verdict_position", BigInteger),
    Column("sha256", String(64), index=True),
    Column("stored_bytes", BigInteger),
    Column("manifest", LargeBinary),
    *_leases("capture"),
)

measurement = Table(
    "measurement",
    metadata,
    _id(),
    Column("capture_id", ForeignKey("capture.id"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("mid", Integer),
    Column("serial", String(64), index=True),
    Column("protocol", Text),
    Column("visit", String(200), index=True),
    *(Column(name, Integer) for name in ("first_tick", "last_tick")),
    Column("document", JSON, nullable=False),
    UniqueConstraint("capture_id", "number"),
)

dependency = Table(
    "dependency",
    metadata,
    Column("capture_id", ForeignKey("capture.id"), primary_key=True),
    Column("mid", Integer, primary_key=True),
    Column("serial", String(64), nullable=False),
    Column("is_wanted", Boolean, nullable=False),
    Index("ix_dependency_mid", "serial", "mid"),
)
"""Which measurements of other files a capture's reconstruction needs, and whether a rule wants them."""

study = Table(
    "study",
    metadata,
    _id(),
    Column("study_uid", String(64), nullable=False, unique=True),
    Column("called_ae", String(16), nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("first_arrival_at", Instant, nullable=False),
    Column("last_arrival_at", Instant, nullable=False, index=True),
    Column("document", JSON, nullable=False),
)

series = Table(
    "series",
    metadata,
    _id(),
    Column("study_id", ForeignKey("study.id"), nullable=False, index=True),
    Column("series_uid", String(64), nullable=False, unique=True),
    Column("number", Integer),
    Column("protocol", Text),
    Column("serial", String(64)),
    Column("document", JSON, nullable=False),
    Column("told", JSON, nullable=False),
    Column("called_ae", String(16), nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Index("ix_series_protocol", "serial", "protocol"),
)
"""``told`` is what the series' first instance says of the study, the titles are how it came: series that disagree must
not go the same way."""

series_key = Table(
    "series_key",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("series_id", ForeignKey("series.id"), primary_key=True),
)
"""What the join's clues look a series up by: sharing a key makes it a candidate."""

series_tick = Table(
    "series_tick",
    metadata,
    Column("series_id", ForeignKey("series.id"), primary_key=True),
    Column("tick", Integer, primary_key=True),
)
"""When a series' images were acquired, each time once: what the join reads of them."""

instance = Table(
    "instance",
    metadata,
    _id(),
    Column("series_id", ForeignKey("series.id"), nullable=False, index=True),
    Column("sop_uid", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("freed_at", Instant),
    Column("document", JSON, nullable=False),
    UniqueConstraint("sop_uid", "sha256"),
)
"""``freed_at``: its file is gone from the spool, some time after every archive had proved to hold it."""

refusal = Table(
    "refusal",
    metadata,
    _id(),
    Column("sop_uid", String(64), nullable=False, index=True),
    Column("study_uid", String(64)),
    Column("series_uid", String(64)),
    Column("series_number", BigInteger),
    Column("calling_ae", String(16), nullable=False),
    Column("called_ae", String(16), nullable=False),
    Column("status", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("arrived_at", Instant),
)
"""Images that were announced and not taken: what must be sent again, until it arrives."""

commitment = Table(
    "commitment",
    metadata,
    _id(),
    Column("transaction_uid", String(64), nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("called_ae", String(16), nullable=False),
    Column("machine", String(64), nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False, index=True),
    Column("failures", Integer, nullable=False),
    Column("reported_at", Instant),
    UniqueConstraint("calling_ae", "transaction_uid"),
)
"""Requests for storage commitment, and when they are to be looked at again."""

commitment_item = Table(
    "commitment_item",
    metadata,
    Column("commitment_id", ForeignKey("commitment.id"), primary_key=True),
    Column("sop_uid", String(64), primary_key=True),
    Column("sop_class", String(64), nullable=False),
)

evidence = Table(
    "evidence",
    metadata,
    _id(),
    Column("match_id", ForeignKey("match.id"), nullable=False, index=True),
    Column("series_uid", String(64), nullable=False),
    Column("clue", String(32), nullable=False),
    Column("weight", String(16), nullable=False),
    Column("detail", Text, nullable=False),
)

match = Table(
    "match",
    metadata,
    _id(),
    Column("capture_id", ForeignKey("capture.id"), nullable=False, index=True),
    Column("study_id", ForeignKey("study.id"), nullable=False, index=True),
    Column("series_uid", String(64)),
    Column("series_uids", JSON),
    Column("certainty", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Column("undone_at", Instant),
)
"""The newest that was not undone counts. ``series_uids``: all series of the measurement, where the join said so."""

belonging = Table(
    "belonging",
    metadata,
    Column("capture_id", ForeignKey("capture.id"), primary_key=True),
    Column("study_id", ForeignKey("study.id"), nullable=False, index=True),
)
"""Which session a file that was not joined is of, as far as its header tells: for the ledger, never for sending."""

target = Table(
    "target",
    metadata,
    Column("study_id", ForeignKey("study.id"), primary_key=True),
    Column("destination", String(64), primary_key=True),
    Column("project", String(64), nullable=False),
    Column("assigned_by", String(64)),
)
"""Where a route sends the raw data of a study alone: destinations that take no images, so have no delivery of them."""

delivery = Table(
    "delivery",
    metadata,
    _id(),
    Column("kind", String(8), nullable=False),
    Column("capture_id", ForeignKey("capture.id"), index=True),
    Column("study_id", ForeignKey("study.id"), nullable=False, index=True),
    Column("destination", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("subject", String(64)),
    Column("session", String(64)),
    *_work(),
    Column("place", Text),
    Column("former_places", JSON),
    Column("experiment", String(64)),
    Column("verified_at", Instant),
    Column("listed_at", Instant),
    Column("doubted", JSON),
    Column("found", JSON),
    Column("imported", JSON),
    Column("refused", JSON),
    Column("lacking", JSON),
    Column("aliases", JSON),
    Column("assigned_by", String(64)),
    UniqueConstraint("capture_id", "study_id", "destination"),
    *_leases("delivery"),
    Index("uq_delivery_dicom", "study_id", "destination", unique=True, **_where("kind = 'dicom'")),
)

part = Table(
    "part",
    metadata,
    Column("delivery_id", ForeignKey("delivery.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("md5", String(32), nullable=False),
    Column("sha256", String(64), nullable=False),
)

probe = Table(
    "probe",
    metadata,
    _id(),
    Column("destination", String(64), nullable=False, index=True),
    Column("server", Text, nullable=False),
    Column("project", String(64), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("answers", JSON, nullable=False),
    Column("at", Instant, nullable=False),
)
"""What probes of a destination found, for each version and address; the newest of one counts."""

body_limit = Table(
    "body_limit",
    metadata,
    Column("destination", String(64), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
)
"""The largest part that a destination was found to take, where one was refused as too large."""

decision = Table(
    "decision",
    metadata,
    _id(),
    Column("capture_id", ForeignKey("capture.id"), nullable=False, index=True),
    Column("step", String(8), nullable=False),
    Column("is_wanted", Boolean, nullable=False),
    *(Column(name, String(64)) for name in ("rule", "project")),
    Column("version", Integer),
    Column("reason", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
"""Whose rule decided what and why. No ``version``: the rule was the configuration's."""

receipt = Table(
    "receipt",
    metadata,
    _id(),
    Column("delivery_id", ForeignKey("delivery.id"), nullable=False, index=True),
    Column("document", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
)

pause = Table(
    "pause",
    metadata,
    Column("what", String(80), primary_key=True),
    Column("until_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("failures", Integer, nullable=False),
)
"""What is left alone for a while: ``destination:<name>``, ``source:<name>`` or ``spool:<machine>``."""

alert = Table(
    "alert",
    metadata,
    _id(),
    Column("key", String(200), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("raised_at", Instant, nullable=False),
    Column("cleared_at", Instant),
    Column("told_at", Instant),
    Index("uq_alert_open", "key", unique=True, **_where("cleared_at IS NULL")),
)

event = Table(
    "event",
    metadata,
    _id(),
    Column("at", Instant, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("subject", String(16), nullable=False),
    Column("subject_id", Integer, nullable=False, index=True),
    Column("verb", String(40), nullable=False),
    Column("before", String(16)),
    Column("after", String(16)),
    Column("detail", Text),
)
"""Append-only: a trigger refuses update and delete (migration 0001)."""
