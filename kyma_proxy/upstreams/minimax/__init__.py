"""MiniMax: its client, its wire format and what its error codes mean."""
