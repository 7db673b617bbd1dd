"""The rules of this repository as pure functions: sources in, findings out. A finding is `path:line: what to do`."""
