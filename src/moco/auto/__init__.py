"""`auto`: what a person's time, the machine and the images ask for."""
