"""Simulated upstreams to develop and test against: faithful to the real ones, with faults on demand."""
