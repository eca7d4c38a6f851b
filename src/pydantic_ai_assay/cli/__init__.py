"""The `assay` command. Needs the extra `cli`."""
