"""The `voice_library` plugin: an account lists, reads, renames and deletes its own voices."""
