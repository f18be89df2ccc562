"""All state in SQL: tables, the ledger, records, who may see them, erasure, copies."""
