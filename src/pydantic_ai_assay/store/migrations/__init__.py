"""The migrations of a store, each a revision."""
