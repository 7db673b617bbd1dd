"""The `api_key_auth` plugin: who is asking."""
