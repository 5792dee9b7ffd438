"""Behaviours of hyperhook's own: the plugins that suggest, stop and run trials."""
