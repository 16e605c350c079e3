"""Sensors through the whole stack: calibration in force at once, history by bucket, what a device displays."""

import json
import time

from harness import Message, Stack, wait_until


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
    [esp_id] = stack.register(1)
    with stack.sign_in() as rest:
        settings = {"calibration": {"points": [[2048, 7.0], [2620, 4.0]]}, "publish_processed": True}
        assert rest.put(f"/api/v1/sensors/{esp_id}/34/ph", json=settings).status_code == 200
    async with stack.events([esp_id]) as events:
        stack.publish([raw(esp_id, 34, int(time.time() * 1000), 2048)])
        frame = await events.until("sensor_data")
    assert (frame["data"]["value"], frame["data"]["quality"]) == (7.0, "good")


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
