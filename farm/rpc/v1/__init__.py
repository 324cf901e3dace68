"""Generated from `proto/farm/rpc/v1` when the package is built; not committed."""
