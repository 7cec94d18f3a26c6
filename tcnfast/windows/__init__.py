"""Window sets, the networks that read them, their training and the study: a wing of its own."""
