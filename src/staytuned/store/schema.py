"""The tables, as the newest version has them. Changing one means a step in ``migrations`` and a note there."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Dialect, Double, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.dialects.mysql import LONGTEXT, VARBINARY
from sqlalchemy.types import TypeDecorator

from staytuned.store.lines import LONGEST_NAME


class _Utf8(TypeDecorator[str]):
    """Text as its bytes, which MySQL compares one by one; its collations take some texts for the same that are not, or some spaces for none."""

    impl = VARBINARY
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.decode()


TABLES = MetaData()  # of every ledger
SERVER_TABLES = MetaData()  # of a ledger on a server besides: there is no folder that all its users see

# Streams are searched by prefix as a range, so they must sort by code point and not by a country's alphabet.
_NAME = Text().with_variant(Text(collation="C"), "postgresql").with_variant(_Utf8(LONGEST_NAME), "mysql", "mariadb")
_LONG = Text().with_variant(LONGTEXT(charset="ascii", collation="ascii_bin"), "mysql", "mariadb")

facts = Table(
    "facts",
    TABLES,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("stream", _NAME, nullable=False),
    Column("kind", _NAME, nullable=False),
    Column("key", _NAME),
    Column("body", _LONG, nullable=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("stream", "key"),
    mysql_engine="InnoDB",
)
Index("facts_by_stream", facts.c.stream, facts.c.id)

claims = Table(
    "claims",
    TABLES,
    Column("key", _NAME, primary_key=True),
    Column("owner", _NAME, nullable=False),
    Column("until", Double, nullable=False),
    mysql_engine="InnoDB",
)

meta = Table(
    "meta",
    TABLES,
    Column("name", _NAME, primary_key=True),
    Column("value", _NAME, nullable=False),
    mysql_engine="InnoDB",
)

blobs = Table(
    "blobs",
    SERVER_TABLES,
    Column("digest", _NAME, primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("bytes", LargeBinary(2**20), nullable=False),
    mysql_engine="InnoDB",
)
