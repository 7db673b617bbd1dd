"""Accounts' money: hold, post, void; entries that nobody changes; an audit that recomputes everything."""
