"""Sensors through the whole stack: calibration in force at once, history by bucket, what a device displays."""

import json
import time

from harness import Message, Stack, wait_until
from listening import listening
from waiting import until


def raw(esp_id: str, gpio: int, ts: int, count: int) -> Message:
    body = {"ts": ts, "esp_id": esp_id, "gpio": gpio, "sensor_type": "ph_sensor", "raw": count, "raw_mode": True}
    return Message(f"kaiser/god/esp/{esp_id}/sensor/{gpio}/data", json.dumps(body).encode())


def latest(rest, esp_id: str) -> dict:
    items = rest.get("/api/v1/sensors/latest", params={"esp_id": esp_id}).json()["items"]
    return items[0] if items else {}


def test_a_calibration_is_in_force_at_once_and_its_removal_too(stack: Stack):
    [esp_id] = stack.register(1)
    now_ms = int(time.time() * 1000)
    with stack.sign_in() as rest:
        calibration = {"calibration": {"points": [[2048, 7.0], [2620, 4.0]]}}
        url = f"/api/v1/sensors/{esp_id}/34/ph_sensor"
        wait_until(lambda: rest.put(url, json=calibration).status_code not in (503, 504), "sensor answers")
        put = rest.put(url, json=calibration)
        assert (put.status_code, put.json()["sensor_type"]) == (200, "ph"), put.text
        listed = rest.get("/api/v1/sensors", params={"esp_id": esp_id}).json()["items"]
        assert [(sensor["gpio"], sensor["sensor_type"]) for sensor in listed] == [(34, "ph")]

        def processed() -> bool:
            nonlocal now_ms
            now_ms += 1000
            stack.publish([raw(esp_id, 34, now_ms, 2620)])
            time.sleep(0.1)
            return latest(rest, esp_id).get("value") == 4.0

        wait_until(processed, "the calibration is in force", 60.0)
        assert latest(rest, esp_id)["unit"] == "pH"
        assert rest.delete(f"/api/v1/sensors/{esp_id}/34/ph").status_code == 204
        assert rest.delete(f"/api/v1/sensors/{esp_id}/34/ph").status_code == 404

        def passes_as_raw() -> bool:
            nonlocal now_ms
            now_ms += 1000
            stack.publish([raw(esp_id, 34, now_ms, 2620)])
            time.sleep(0.1)
            return latest(rest, esp_id).get("value") is None

        wait_until(passes_as_raw, "its removal is in force", 60.0)


def test_a_bad_calibration_is_refused_and_names_the_field(stack: Stack):
    with stack.sign_in() as rest:
        answer = rest.put("/api/v1/sensors/ESP_A/34/ph", json={"calibration": {"points": [[1, 1]]}})
        assert answer.status_code == 422
        assert "two-point" in answer.json()["detail"]


def test_history_comes_by_bucket_with_its_gaps_and_as_csv(stack: Stack):
    [esp_id] = stack.register(1)
    start_ms = (int(time.time()) // 60 - 10) * 60_000

    def reading(minute: int, value: float) -> Message:
        body = {
            "ts": start_ms + minute * 60_000 + int(value),
            "esp_id": esp_id,
            "gpio": 4,
            "sensor_type": "DS18B20",
            "raw": 1,
            "raw_mode": False,
            "value": value,
        }
        return Message(f"kaiser/god/esp/{esp_id}/sensor/4/data", json.dumps(body).encode())

    stack.publish([reading(0, 10.0), reading(0, 20.0), reading(2, 30.0)])
    wait_until(lambda: stack.rows([esp_id]) == 3, "three readings are stored")
    span = {"esp_id": esp_id, "gpio": 4, "sensor_type": "ds18b20", "from": start_ms, "to": start_ms + 180_000}
    with stack.sign_in() as rest:
        items = rest.get("/api/v1/sensors/data", params={**span, "bucket": "1m"}).json()["items"]
        assert [(item["count"], item["min"], item["max"], item["avg"], item["last"]) for item in items] == [
            (2, 10.0, 20.0, 15.0, 20.0),
            (0, None, None, None, None),
            (1, 30.0, 30.0, 30.0, 30.0),
        ]
        text = rest.get("/api/v1/sensors/data", params={**span, "bucket": "1m", "format": "csv"}).text
        assert text.splitlines()[0] == "ts,count,min,max,avg,last"
        assert len(text.splitlines()) == 4
        pages, cursor = [], None
        while True:
            params = {"esp_id": esp_id, "limit": 2, "from": start_ms} | ({"cursor": cursor} if cursor else {})
            page = rest.get("/api/v1/sensors/data", params=params).json()
            pages += [item["value"] for item in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
        assert pages == [10.0, 20.0, 30.0]
        assert rest.get("/api/v1/sensors/data", params={**span, "bucket": "nonsense"}).status_code == 422
        too_many = rest.get("/api/v1/sensors/data", params={**span, "from": 0, "bucket": "1s"})
        assert (too_many.status_code, too_many.json()["code"]) == (422, 5207)


async def test_a_device_that_displays_its_value_gets_it(stack: Stack):
    """On its topic `processed`, and of that sensor alone."""
    [esp_id] = stack.register(1)
    calibration = {"points": [[2048, 7.0], [2620, 4.0]]}
    with stack.sign_in() as rest:
        for gpio, shown in ((34, True), (35, False)):
            settings = {"calibration": calibration, "publish_processed": shown}
            assert rest.put(f"/api/v1/sensors/{esp_id}/{gpio}/ph", json=settings).status_code == 200
    with listening(stack, f"kaiser/god/esp/{esp_id}/sensor/+/processed") as heard:
        ts = int(time.time() * 1000)
        async with stack.events([esp_id]) as events:

            async def processed(gpio: int) -> bool:
                nonlocal ts
                ts += 1
                stack.publish([raw(esp_id, gpio, ts, 2048)])
                data = (await events.until("sensor_data"))["data"]
                return (data["gpio"], data["value"], data["quality"]) == (gpio, 7.0, "good")

            for gpio in (35, 34):
                await until(lambda: processed(gpio), "its configuration is in force")  # noqa: B023
            assert await processed(35)
            assert await processed(34)
        wait_until(lambda: any(body["ts"] == ts for _, body in heard), "the device is sent its value")
    topic = f"kaiser/god/esp/{esp_id}/sensor/34/processed"
    assert {each for each, _ in heard} == {topic}
    assert heard[-1] == (topic, {"value": 7.0, "unit": "pH", "quality": "good", "ts": ts})


def test_completeness_tells_the_share_of_a_days_readings(stack: Stack):
    [esp_id] = stack.register(1)
    yesterday = int(time.time()) // 86_400 * 86_400 - 86_400
    with stack.sign_in() as rest:
        assert rest.put(f"/api/v1/sensors/{esp_id}/34/ph", json={"interval_s": 3600}).status_code == 200
        stack.publish([raw(esp_id, 34, (yesterday + hour * 3600) * 1000, 2620) for hour in range(18)])

        def answer() -> dict:
            day = time.strftime("%Y-%m-%d", time.gmtime(yesterday))
            found = rest.get("/api/v1/sensors/completeness", params={"esp_id": esp_id, "day": day})
            assert found.status_code == 200, found.text
            return found.json()["items"][0]

        wait_until(lambda: answer()["received"] == 18, "the readings are counted", 60.0)
        assert (answer()["expected"], answer()["share"]) == (24, 0.75)
        assert rest.get("/api/v1/sensors/completeness", params={"esp_id": esp_id, "day": "soon"}).status_code == 422


def at_once(esp_id: str, ts: int, *values: float) -> Message:
    """A batch with so many readings of one sensor."""
    sensors = [{"gpio": 4, "sensor_type": "ds18b20", "value": value} for value in values]
    body = {"ts": ts, "esp_id": esp_id, "sensors": sensors}
    return Message(f"kaiser/god/esp/{esp_id}/sensor/batch", json.dumps(body).encode())


def test_an_equal_reading_is_one_row_and_another_value_is_rejected_within_a_batch_and_between(stack: Stack):
    [esp_id] = stack.register(1)
    now_ms = int(time.time() * 1000)
    with stack.sign_in() as rest:

        def known() -> tuple[list[float], list[int]]:
            data = rest.get("/api/v1/sensors/data", params={"esp_id": esp_id, "from": now_ms - 10_000})
            rejected = rest.get("/api/v1/rejected", params={"esp_id": esp_id})
            if not (data.is_success and rejected.is_success):
                return [], []
            values = [item["value"] for item in data.json()["items"]]
            return values, [item["code"] for item in rejected.json()["items"]]

        stack.publish([at_once(esp_id, now_ms, 20.25, 20.25)])
        wait_until(lambda: known() == ([20.25], []), "a repetition within a batch is no second row")
        stack.publish([at_once(esp_id, now_ms + 1, 20.25, 61.5)])
        wait_until(lambda: known() == ([20.25, 20.25], [5208]), "another value within a batch is rejected")
        stack.publish([at_once(esp_id, now_ms, 20.25), at_once(esp_id, now_ms + 1, 20.25)])
        stack.publish([at_once(esp_id, now_ms, 62.0)])
        wait_until(lambda: known() == ([20.25, 20.25], [5208, 5208]), "another value in a later batch is rejected")
        stack.publish([at_once(esp_id, 0, 1.0, 2.0)])
        wait_until(lambda: known()[0][2:] == [1.0, 2.0], "without the device's clock each has a time of its own")
    assert stack.rows([esp_id]) == 4


async def test_a_time_beyond_every_date_is_one_number_in_the_frame_and_the_list_and_moves_no_rule(stack: Stack):
    """JSON clients keep integers up to 2**53 - 1 exactly."""
    [esp_id] = stack.register(1)
    topic = f"kaiser/god/esp/{esp_id}/sensor/4/data"
    condition = {"type": "sensor_threshold", "esp_id": esp_id, "gpio": 4, "operator": ">", "value": 30}
    rule = {"name": f"ahead {esp_id}", "conditions": [condition], "actions": [{"type": "notification", "message": "x"}]}

    def say(ts: float, value: float) -> None:
        body = {"ts": ts, "gpio": 4, "sensor_type": "ds18b20", "raw": 1, "value": value, "raw_mode": False}
        stack.publish([Message(topic, json.dumps(body).encode())])

    with stack.sign_in() as rest:
        wait_until(lambda: rest.post("/api/v1/logic/rules", json=rule).is_success, "the rule is taken")
        async with stack.events([esp_id]) as events:
            for ts in (10**17, 2**53, 2**80, 1e300):
                say(ts, 99)
                data = (await events.until("sensor_data"))["data"]
                assert (data["value"], data["device_ts"], data["clock"]) == (99, 2**53 - 1, "server")

        def listed() -> list[int]:
            items = rest.get("/api/v1/sensors/latest", params={"esp_id": esp_id}).json()["items"]
            return [item["device_ts"] for item in items]

        wait_until(lambda: listed() == [2**53 - 1], "the list has it")
        assert int(float(listed()[0])) == listed()[0]
        # The rule is at work: a good reading fires it, the first one of its executions.
        for value in (20, 31):
            say(int(time.time() * 1000), value)

        def fired() -> list[float]:
            items = rest.get("/api/v1/logic/executions", params={"limit": 1000}).json()["items"]
            return [each["trigger"]["value"] for each in items if each["rule_name"] == rule["name"]]

        wait_until(lambda: fired() == [31], "a reading of today fires the rule, and nothing before it did")
