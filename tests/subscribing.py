"""Subscribers and readers by hand, for tests of the service."""

import contextlib
import os
import threading
import time
from contextlib import contextmanager

import grpc
import numpy as np
from handmade import Spec, entry, header, message

from farm.rpc import names
from farm.rpc.v1 import experience_pb2
from farm.shm.ring import load_head

Batch = experience_pb2.ExperienceBatch
Request = experience_pb2.SubscribeRequest
Code = grpc.StatusCode
TIMEOUT_S = 30.0
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


def entry_bytes(spec=None):
    return len(entry(spec or Spec()))


class Raw:
    """A subscriber by hand: acknowledges what the test says."""

    def __init__(self, channel, credit_bytes=0, **opening):
        self._requests = []
        self._arrived = threading.Condition()
        opening = experience_pb2.SubscribeOpen(credit_bytes=credit_bytes, **opening)
        self._send(Request(open=opening))
        call = channel.stream_stream(names.method_path(names.SUBSCRIBE))
        self.call = call(self._outgoing(), timeout=TIMEOUT_S)
        self.started = self.read().started
        assert self.started.spec_fingerprint

    def _outgoing(self):
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self._requests, TIMEOUT_S)
                request = self._requests.pop(0) if self._requests else None
            if request is None:
                return
            yield request.SerializeToString()

    def _send(self, request):
        with self._arrived:
            self._requests.append(request)
            self._arrived.notify()

    def read(self):
        return Batch.FromString(next(self.call))

    def ack(self, *batch_ids):
        self._send(Request(ack=experience_pb2.Ack(batch_ids=batch_ids)))

    def vanish(self):
        self.call.cancel()
        self._send(None)


@contextmanager
def subscriber(serving, credit_bytes=0, **opening):
    with grpc.insecure_channel(serving.address, OWN_CONNECTION) as channel:
        raw = Raw(channel, credit_bytes, **opening)
        yield raw
        raw.vanish()


def sequences(batch):
    return [trajectory.sequence for trajectory in batch.trajectories]


def head(serving, worker=0):
    return load_head(serving.rings[worker].segment.mem)


def tail(serving, worker=0):
    return int(serving.rings[worker].producer.cursor[1])


def bulky(n_bytes):
    """A record of about this size, made at once: nobody but a client looks into its payload."""
    made = message(Spec(), payload=os.urandom(n_bytes))
    return header(Spec(), np.zeros(1)).tobytes() + Batch(trajectories=[made]).SerializeToString()


def open_stream(channel):
    call = channel.unary_stream(names.method_path(names.STREAM_EXPERIENCES))
    stream = call(b"", timeout=TIMEOUT_S)
    assert Batch.FromString(next(stream)).HasField("started")
    return stream


def write_until_full(serving, payload):
    """Write until nobody has made room for a while: flow control is full, and then the ring."""
    n_full = 0
    while n_full < 50:
        n_full = 0 if serving.ring.write_bytes(payload) else n_full + 1
        time.sleep(0.004)


def read_to_end(call):
    with contextlib.suppress(grpc.RpcError):
        for _ in call:
            pass


def opened(serving, stream):
    """Whether the stream is open at the service; reading it once opens it."""
    if not stream.received.connections:
        stream._receive()
    return serving.counter("streams") == 1
