"""Behaviours of our own."""
