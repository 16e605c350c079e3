"""The load generator follows its clock from the start that it reports."""

from bench.sender import Job, dues, numbers


def test_each_message_is_due_by_its_number_whichever_connection_sends_it():
    job = Job("127.0.0.1", 1883, [f"TEST_{number}" for number in range(10)], base_ms=0, count=25, rate=500.0)
    due = {number: at for place in range(4) for number, at in zip(numbers(job, place), dues(job, place), strict=True)}
    assert due == {number: number / 500 for number in range(25)}


def test_what_is_sent_as_fast_as_it_goes_is_due_at_no_time():
    assert dues(Job("127.0.0.1", 1883, ["TEST_1"], base_ms=0, count=25), 0) == []
