"""Followers: each reads what a script logs by a library of its own; see `hyperhook.follower`."""
