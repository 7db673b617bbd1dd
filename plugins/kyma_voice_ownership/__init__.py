"""The `voice_ownership` plugin: nobody speaks with another account's voice."""
