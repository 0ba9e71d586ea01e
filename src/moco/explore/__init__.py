"""A map of what an encoder finds alike: embedded, laid out, and served to a page of embedding-atlas."""
