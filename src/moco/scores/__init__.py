"""Scores of an encoder that need no labels: each a function of features, with its source."""
