"""Searching a recipe's fields: what is searched, in which range."""
