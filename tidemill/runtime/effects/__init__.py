"""Effects that happen once: `work.once`, the ledger behind it, and what people ask the ledger.

Relies on SQLAlchemy Core over SQLite or Postgres. Nothing here knows of Kafka, and nothing but the modules of this
package may touch the ledger's tables. Docs: docs/effects.md, decision 16.
"""
