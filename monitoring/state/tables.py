"""The tables of what the sidecar knows.

Whoever changes something here raises `SCHEMA`, and says how an older database becomes a newer one.
Nothing here is SQLite's own. An *owner* is a version in a role, an adapter, a reference or the
pool of a backbone; its id is never used again. Times are microseconds since 1970.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

SCHEMA = 1

METADATA = MetaData()

ABOUT = Table(
    "about",
    METADATA,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

# What belongs to none in particular: the cursor, the watermark, the judge's notes.
NOTES = Table(
    "notes",
    METADATA,
    Column("name", String, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# Versions in a role.
WATCHED = Table(
    "watched",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("tenant", String(63), nullable=False),
    Column("adapter", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("role", String(15), nullable=False),
    Column("last_us", BigInteger, nullable=False),  # of the newest event
    Column("due_us", BigInteger, nullable=False),  # end of the next bucket to close; 0: none
    Column("expires_us", BigInteger, nullable=False),  # when something is deleted; 0: never
)

ADAPTERS = Table(
    "adapters",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("tenant", String(63), nullable=False),
    Column("adapter", String(63), nullable=False),
    Column("last_us", BigInteger, nullable=False),  # of the newest event
    Column("labelled_us", BigInteger, nullable=False),  # of the newest prediction with a label
)

REFERENCES = Table(
    "references",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("tenant", String(63), nullable=False),
    Column("adapter", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("backbone", String, nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),  # that it has
    Column("came", Integer, nullable=False),  # of them, that were read; all: it is complete
)

# A sample of the rows of all references on a backbone.
POOLS = Table(
    "pools",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("backbone", String, nullable=False),
    Column("references", Integer, nullable=False),  # that rows were taken of
    Column("made_of", Integer, nullable=False),  # how many when a reference was made of it
    Column("made_id", Integer, nullable=False),  # owner of that reference
    Column("made_us", BigInteger, nullable=False),
    Column("made_rows", Integer, nullable=False),
)

# Everything large, as bytes: by owner, kind (`monitoring/state/kinds.py`) and start.
OBJECTS = Table(
    "objects",
    METADATA,
    Column("owner", Integer, primary_key=True, autoincrement=False),
    Column("kind", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

# The last label of each prediction; `number` counts the labels of a version as they came.
LABELS = Table(
    "labels",
    METADATA,
    Column("owner", Integer, primary_key=True, autoincrement=False),
    Column("prediction_id", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("came_us", BigInteger, nullable=False),
    Column("predicted_us", BigInteger, nullable=False),
    Column("class_index", Integer, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("label_index", Integer, nullable=False),
    Column("audit", Boolean, nullable=False),
    Column("audit_probability", Float, nullable=False),
    Column("group", String),
    Index("labels_by_number", "owner", "number"),
)

# What shadows predicted, for labels of the answers that callers got.
SHADOWS = Table(
    "shadows",
    METADATA,
    Column("owner", Integer, primary_key=True, autoincrement=False),
    Column("prediction_id", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("predicted_us", BigInteger, nullable=False),
    Column("class_index", Integer, nullable=False),
    Column("confidence", Float, nullable=False),
    Index("shadows_by_number", "owner", "number"),
)
