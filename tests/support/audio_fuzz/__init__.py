"""Broken recordings without end, and what must hold of the judge's answer to each."""
