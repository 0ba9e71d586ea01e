"""The version of the distribution, where nothing heavy is imported."""

VERSION = "0.1.0"
