"""The names that replace generated service code."""

from farm.config.schema import ServeConfig
from farm.rpc import names
from farm.rpc.v1 import experience_pb2, games_pb2
from farm.spec.limits import MAX_CELLS, MAX_SEATS, MAX_STEPS
from farm.spec.trajectory import compressed_bound, payload_bytes


def service():
    return experience_pb2.DESCRIPTOR.services_by_name["ExperienceService"]


def test_the_service_is_named_as_in_the_proto_file():
    assert service().full_name == names.EXPERIENCE_SERVICE


def test_every_method_of_the_proto_file_has_its_name():
    named = {
        names.SUBSCRIBE,
        names.STREAM_EXPERIENCES,
        names.GET_EXPERIENCE_STATS,
        names.REMOVE_GROUP,
        names.GET_BALANCE,
        names.SUBMIT_EXPERIENCES,
        names.GET_FARM_INFO,
    }
    assert named == {method.name for method in service().methods}


def test_every_method_of_the_game_service_has_its_name():
    service = games_pb2.DESCRIPTOR.services_by_name["GameService"]
    assert service.full_name == names.GAME_SERVICE
    named = {value for name, value in vars(names).items() if name.isupper()}
    assert {method.name for method in service.methods} <= named


def test_a_path_is_what_grpc_calls():
    assert names.method_path("Subscribe") == "/farm.rpc.v1.ExperienceService/Subscribe"


def test_a_message_may_be_as_large_as_any_batch_and_any_single_trajectory():
    largest = compressed_bound(payload_bytes(MAX_CELLS, MAX_SEATS, MAX_STEPS))
    assert largest + 1024 < names.MAX_MESSAGE_BYTES
    assert ServeConfig(max_batch_bytes=1 << 24).max_batch_bytes < names.MAX_MESSAGE_BYTES
