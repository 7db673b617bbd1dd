"""Upstreams: the ends of routes. The only place that opens client connections."""
