"""A handler behind a queue: prefetch, batches, commit before acknowledge."""
