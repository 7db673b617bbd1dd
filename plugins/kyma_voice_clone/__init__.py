"""The `voice_clone` plugin: a recording becomes a voice that is owned and paid for."""
