"""Remote procedure calls: generated messages in `v1`, names and status codes beside it."""
