"""Recordings of every kind that customers send, made here, with the truth about each."""
