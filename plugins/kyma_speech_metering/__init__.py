"""The `speech_metering` plugin: speech is held for before it is made, and charged for once it was heard."""
