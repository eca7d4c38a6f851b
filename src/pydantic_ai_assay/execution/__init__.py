"""Evaluations done well: in the background, in the right place, once, and never at the expense of the run."""
