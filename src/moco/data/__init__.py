"""Images by position: where they come from, how they become pixels, and in which order an epoch visits them."""
