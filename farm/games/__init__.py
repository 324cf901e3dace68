"""The games host: games that remote agents and people play, over gRPC."""
