"""Runs and outcomes kept in a database: SQLite on one machine, PostgreSQL for several."""
