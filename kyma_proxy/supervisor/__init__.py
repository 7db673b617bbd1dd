"""Several processes behind one port: a small supervisor and its workers."""
