"""The `voice_design` plugin: a description becomes a voice that is owned and paid for."""
