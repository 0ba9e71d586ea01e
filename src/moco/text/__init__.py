"""Captions, their words, and the network that reads them."""
