"""Proving that money and voices come out right, whatever goes wrong at whichever step."""
