"""From the sums in a store, and a window of time, to the numbers of a report."""
