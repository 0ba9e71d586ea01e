"""One page about a run: a file that opens in any browser and loads nothing."""
