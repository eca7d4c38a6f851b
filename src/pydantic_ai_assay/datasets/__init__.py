"""Stored runs as data for others: cases of a dataset, examples to train a model on, rows of a table."""
