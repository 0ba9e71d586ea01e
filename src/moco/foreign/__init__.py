"""What other libraries wrote: where its tensors are, which of them are an encoder, and which encoder that is."""
