"""The metrics child: what the farm says of itself to Prometheus and to load balancers, over HTTP.

It reads shared memory and /proc and asks nobody, so it tells of children that hang as well.
"""
