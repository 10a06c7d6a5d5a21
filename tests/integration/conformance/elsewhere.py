"""The rest of what an authority and forwarder is held to, and which test holds it: what needs a bed of its own stands beside that bed."""

from typing import NamedTuple


class Elsewhere(NamedTuple):
    """`source` is where the rule stands; `file` is below the root of the repository."""

    what: str
    source: str
    file: str
    test: str


_FORWARDING = "tests/integration/test_forwarding"
_POOL = "tests/serve/forward/test_pool.py"
_BOUNDS = "tests/serve/test_tcp_bounds.py"

ELSEWHERE = (
    # Authority
    Elsewhere("labels and names fit, also after `_` is added", "RFC 1035 2.3.4", "tests/names/test_both_ways.py", "test_whatever_a_task_is_called_its_records_are_names_that_can_exist"),
    Elsewhere("more than 64 KiB over TCP: a part, no error", "RFC 7766 8", "tests/serve/test_render.py", "test_more_than_64_kilobytes_are_the_clients_part_over_tcp_where_tc_would_point_nowhere"),
    Elsewhere("all orders come equally often, from all workers", "RFC 1794", "tests/integration/test_order.py", "test_each_instance_comes_first_equally_often"),
    Elsewhere("the zone file loads into BIND", "RFC 1035 5", "tests/integration/test_name_servers.py", "test_named_checkzone_accepts_the_zone_file"),
    # TCP
    Elsewhere("a slow forward holds back nobody", "RFC 7766 6.2.1.1", "tests/serve/test_tcp.py", "test_a_slow_forward_holds_back_nobody"),
    Elsewhere("idle connections are closed", "RFC 7766 6.2.3", _BOUNDS, "test_an_idle_connection_is_closed"),
    Elsewhere("slow senders are closed", "RFC 7766 6.2.3", _BOUNDS, "test_half_a_query_does_not_keep_a_connection_open"),
    Elsewhere("connections of one client are bounded", "RFC 7766 6.2.2", _BOUNDS, "test_a_client_with_too_many_connections_loses_its_idlest"),
    Elsewhere("who does not read holds little memory", "RFC 9210 4.1", _BOUNDS, "test_a_client_that_does_not_read_holds_little_memory"),
    Elsewhere("keepalive by pressure", "RFC 7828 3.3.2", _BOUNDS, "test_clients_are_told_how_long_they_may_stay_and_to_go_under_pressure"),
    # Forwarding
    Elsewhere("fresh IDs, never the client's", "RFC 5452 9.2", _POOL, "test_what_is_sent_is_the_query_under_an_id_of_our_own"),
    Elsewhere("fresh source ports", "RFC 5452 9.2", _POOL, "test_a_socket_serves_a_few_questions"),
    Elsewhere("what does not answer the question is passed over", "RFC 5452 9.1", f"{_FORWARDING}_faults.py", "test_forged_replies_are_passed_over"),
    Elsewhere("identical questions are one", "RFC 5452 5", f"{_FORWARDING}_cache.py", "test_ten_thousand_questions_for_one_name_are_one"),
    Elsewhere("the client's options stay here", "RFC 6891 6.2.1", "tests/serve/forward/test_forwarder.py", "test_options_of_the_client_stay_here"),
    Elsewhere("DO and CD are passed on", "RFC 4035 3.2", f"{_FORWARDING}_cache.py", "test_do_and_cd_have_answers_of_their_own"),
    Elsewhere("AD from whom is trusted", "RFC 6840 5.8", f"{_FORWARDING}.py", "test_only_what_belongs_comes_back_and_ad_from_whom_is_trusted"),
    Elsewhere("what is truncated is asked for over TCP", "RFC 7766 5", f"{_FORWARDING}_faults.py", "test_what_is_truncated_is_asked_for_over_tcp"),
    Elsewhere("the second answers if the first is silent", "RFC 5625 4", f"{_FORWARDING}_faults.py", "test_the_second_answers_soon_once_the_first_is_known_to_be_silent"),
    Elsewhere("all dead: SERVFAIL that says why", "RFC 8914 4.23", f"{_FORWARDING}_faults.py", "test_silence_is_servfail_and_is_remembered"),
    Elsewhere("TTLs count down, negative answers live by their SOA", "RFC 2308 5", f"{_FORWARDING}_cache.py", "test_times_to_live_count_down_those_of_negative_answers_by_their_soa"),
    Elsewhere("negative answers without SOA are not kept", "RFC 2308 5", f"{_FORWARDING}_cache.py", "test_negative_answers_without_soa_are_not_kept"),
    Elsewhere("stale answers, with EDE 3", "RFC 8767 5", f"{_FORWARDING}_cache.py", "test_of_dead_and_of_silent_upstreams_the_last_answer_is_given"),
    Elsewhere("RD=0 and own names do not leave", "RFC 1034 4.3.1", f"{_FORWARDING}.py", "test_private_names_own_names_and_questions_without_rd_do_not_leave"),
    Elsewhere("loops end", "RFC 1034 7.1", f"{_FORWARDING}.py", "test_two_instances_that_forward_to_each_other"),
    Elsewhere("private reverse zones", "RFC 6303", "tests/serve/forward/test_private.py", "test_reverse_names_of_the_networks_that_are_documented"),
    Elsewhere("floods of forwards are shed, the zone is served", "RFC 5452 5", f"{_FORWARDING}_faults.py", "test_a_client_that_floods_a_dead_zone_gets_half_of_the_room_and_others_are_served"),
    # Hostile input
    Elsewhere("any octets of an upstream", "RFC 5452 9", f"{_FORWARDING}_faults.py", "test_garbage_is_no_answer_and_the_next_one_is_asked"),
    Elsewhere("any octets for each parser", "", "tests/fuzz/test_targets.py", "test_mutations"),
)  # fmt: skip
