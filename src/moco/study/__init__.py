"""Ablations of the papers at the user's own scale: what is trained, what the paper found, how ours compares."""
