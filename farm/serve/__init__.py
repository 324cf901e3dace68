"""The experiences service: drains every ring and serves it over gRPC."""
