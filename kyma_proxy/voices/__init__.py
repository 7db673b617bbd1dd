"""Voices: who owns which, and how one comes to be."""
