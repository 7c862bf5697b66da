"""Composition root and command line of Segwatch."""
