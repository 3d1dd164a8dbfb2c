"""The tables, as the newest version has them. Changing one means a step in ``migrations`` and a note there."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Table, Text, UniqueConstraint

TABLES = MetaData()

# Streams are searched by prefix as a range, so they must sort by code point and not by a country's alphabet.
_NAME = Text().with_variant(Text(collation="C"), "postgresql")

facts = Table(
    "facts",
    TABLES,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("stream", _NAME, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text),
    Column("body", Text, nullable=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("stream", "key"),
)
Index("facts_by_stream", facts.c.stream, facts.c.id)

claims = Table(
    "claims",
    TABLES,
    Column("key", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Double, nullable=False),
)

meta = Table(
    "meta",
    TABLES,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
