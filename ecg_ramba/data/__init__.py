"""Recordings: readers, leads, labels, tasks, the synthetic cohort, the prepared store."""
