"""The edge: HTTP on a socket becomes a Flow, a Reply becomes HTTP on a socket."""
