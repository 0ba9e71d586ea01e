"""Where else a run is written down: other people's loggers, fed with the rows that are written anyway."""
