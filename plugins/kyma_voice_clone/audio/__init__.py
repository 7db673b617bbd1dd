"""The judge of recordings: what format the bytes are, and how long they really play.

Pure and synchronous: no function here does I/O, keeps state or copies the recording. Time is linear in its size, with
every loop bounded, so the judge may be given anything that a stranger uploads.
"""
