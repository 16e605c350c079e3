/** Programs for a device's first reading, filled in for one device; pure. */

/** Languages and systems: [key, name, file]. */
export const SNIPPETS = [
  ["arduino", "Arduino (PubSubClient)", "kaiser.ino"],
  ["espidf", "ESP-IDF", "main.c"],
  ["micropython", "MicroPython", "main.py"],
  ["esphome", "ESPHome", "kaiser.yaml"],
  ["tasmota", "Tasmota (rules)", "console"],
];

/** Sensors: [type, name, unit, where Tasmota's telemetry has its value]; a pH probe and a soil probe are analogue inputs. */
export const TYPES = [
  ["ds18b20", "ds18b20", "°C", "DS18B20#Temperature"],
  ["sht31_temp", "sht31_temp", "°C", "SHT3X#Temperature"],
  ["sht31_humidity", "sht31_humidity", "%", "SHT3X#Humidity"],
  ["ph", "ph", "pH", "ANALOG#A1"],
  ["soil_moisture", "soil_moisture", "%", "ANALOG#A1"],
];

const READ_EVERY_S = 10;
const BEAT_EVERY_S = 60;

/** `device`: {espId, kaiserId, broker, port, user, password, gpio, sensorType}; sensorType: one of TYPES; user "" for a
 *  broker without passwords. */
export function snippet(key, device) {
  const topic = `kaiser/${device.kaiserId}/esp/${device.espId}`;
  const [, , unit, tasmota] = TYPES.find(([type]) => type === device.sensorType);
  return MAKERS[key]({ ...device, unit, tasmota, topic, data: `${topic}/sensor/${device.gpio}/data` });
}

/** The payload of a reading with `value` in the place of the figure; ts 0: Kaiser takes the time at which it came. */
const payloadOf = ({ gpio, sensorType, unit }, value) =>
  `{"ts":0,"gpio":${gpio},"sensor_type":"${sensorType}","raw_value":${value},"raw_mode":true,"unit":"${unit}"}`;

/** The payload as a format of printf, with the figure as its only argument. */
const formatOf = (device) => payloadOf({ ...device, unit: device.unit.replaceAll("%", "%%") }, "%.2f");

const quoted = (text) => JSON.stringify(text);

const MAKERS = {
  arduino: (device) => `#include <WiFi.h>
#include <PubSubClient.h>

const char* WIFI_NAME = "your network";
const char* WIFI_PASSWORD = "its password";
const char* ID = ${quoted(device.espId)};
const char* USER = ${device.user ? quoted(device.user) : "nullptr"};
const char* PASSWORD = ${device.user ? quoted(device.password || "the device's password") : "nullptr"};
const char* DATA = ${quoted(device.data)};
const char* HEARTBEAT = ${quoted(`${device.topic}/system/heartbeat`)};
const char* WILL = ${quoted(`${device.topic}/system/will`)};

WiFiClient network;
PubSubClient mqtt(network);
unsigned long readAt = 0;
unsigned long beatAt = 0;

float measure() {
  return 21.5;  // ask your sensor here
}

void connectToKaiser() {
  while (!mqtt.connected()) {
    if (!mqtt.connect(ID, USER, PASSWORD, WILL, 1, true, "{\\"status\\":\\"offline\\"}")) delay(2000);
  }
}

void setup() {
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  while (WiFi.status() != WL_CONNECTED) delay(500);
  mqtt.setServer(${quoted(device.broker)}, ${device.port});
  mqtt.setBufferSize(512);
}

void loop() {
  connectToKaiser();
  mqtt.loop();
  char text[256];
  if (beatAt == 0 || millis() - beatAt >= ${BEAT_EVERY_S * 1000}UL) {
    snprintf(text, sizeof text, "{\\"uptime\\":%lu,\\"heap_free\\":%lu,\\"wifi_rssi\\":%d}",
             millis() / 1000UL, (unsigned long)ESP.getFreeHeap(), (int)WiFi.RSSI());
    mqtt.publish(HEARTBEAT, text);
    beatAt = millis() + 1;
  }
  if (readAt == 0 || millis() - readAt >= ${READ_EVERY_S * 1000}UL) {
    snprintf(text, sizeof text, ${quoted(formatOf(device))}, measure());
    mqtt.publish(DATA, text);
    readAt = millis() + 1;
  }
}
`,

  espidf: (device) => `#include <inttypes.h>
#include <stdio.h>
#include "esp_system.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "mqtt_client.h"

// Connect to Wi-Fi before kaiser_start(), as examples/protocols/mqtt of ESP-IDF does.
static const char *DATA = ${quoted(device.data)};
static const char *HEARTBEAT = ${quoted(`${device.topic}/system/heartbeat`)};

static float measure(void) {
    return 21.5f;  // ask your sensor here
}

static void kaiser_task(void *argument) {
    esp_mqtt_client_handle_t client = (esp_mqtt_client_handle_t)argument;
    char text[256];
    for (uint32_t turn = 0;; turn++) {
        if (turn % ${BEAT_EVERY_S / READ_EVERY_S} == 0) {
            snprintf(text, sizeof text, "{\\"uptime\\":%" PRId64 ",\\"heap_free\\":%" PRIu32 "}",
                     esp_timer_get_time() / 1000000, esp_get_free_heap_size());
            esp_mqtt_client_enqueue(client, HEARTBEAT, text, 0, 0, 0, true);
        }
        snprintf(text, sizeof text, ${quoted(formatOf(device))}, measure());
        esp_mqtt_client_enqueue(client, DATA, text, 0, 1, 0, true);
        vTaskDelay(pdMS_TO_TICKS(${READ_EVERY_S * 1000}));
    }
}

void kaiser_start(void) {
    esp_mqtt_client_config_t config = {};
    config.broker.address.uri = ${quoted(`mqtt://${device.broker}:${device.port}`)};
    config.credentials.client_id = ${quoted(device.espId)};
${device.user ? `    config.credentials.username = ${quoted(device.user)};
    config.credentials.authentication.password = ${quoted(device.password || "the device's password")};
` : ""}    config.session.last_will.topic = ${quoted(`${device.topic}/system/will`)};
    config.session.last_will.msg = "{\\"status\\":\\"offline\\"}";
    config.session.last_will.qos = 1;
    config.session.last_will.retain = 1;
    esp_mqtt_client_handle_t client = esp_mqtt_client_init(&config);
    esp_mqtt_client_start(client);
    xTaskCreate(kaiser_task, "kaiser", 4096, client, 5, NULL);
}
`,

  micropython: (device) => `import gc
import json
import time

import network
from umqtt.simple import MQTTClient

TOPIC = ${quoted(device.topic)}
GPIO = ${device.gpio}


def measure():
    return 21.5  # ask your sensor here


def connect_wifi():
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect("your network", "its password")
    while not wlan.isconnected():
        time.sleep(1)


def main(turns=None):
    """Send so many readings; without a number, one after the other until stopped."""
    client = MQTTClient(${quoted(device.espId)}, ${quoted(device.broker)}, port=${device.port}, keepalive=60${device.user ? `,
                        user=${quoted(device.user)}, password=${quoted(device.password || "the device's password")}` : ""})
    client.set_last_will(TOPIC + "/system/will", json.dumps({"status": "offline"}), retain=True, qos=1)
    client.connect()
    turn = 0
    while turns is None or turn < turns:
        if turn % ${BEAT_EVERY_S / READ_EVERY_S} == 0:
            beat = {"uptime": time.ticks_ms() // 1000, "heap_free": gc.mem_free()}
            client.publish(TOPIC + "/system/heartbeat", json.dumps(beat))
        reading = {
            "ts": 0,
            "gpio": GPIO,
            "sensor_type": ${quoted(device.sensorType)},
            "raw_value": measure(),
            "raw_mode": True,
            "unit": ${quoted(device.unit)},
        }
        client.publish(TOPIC + "/sensor/%d/data" % GPIO, json.dumps(reading), qos=1)
        turn += 1
        time.sleep(${READ_EVERY_S})


connect_wifi()
main()
`,

  esphome: (device) => `esphome:
  name: ${device.espId.toLowerCase().replaceAll("_", "-")}

esp32:
  board: esp32dev

wifi:
  ssid: "your network"
  password: "its password"

mqtt:
  broker: ${quoted(device.broker)}
  port: ${device.port}
  client_id: ${quoted(device.espId)}
${device.user ? `  username: ${quoted(device.user)}
  password: ${quoted(device.password || "the device's password")}
` : ""}  discovery: false
  topic_prefix: null
  log_topic: null
  birth_message:
    topic: ${quoted(`${device.topic}/system/heartbeat`)}
    payload: '{"uptime":0}'
  will_message:
    topic: ${quoted(`${device.topic}/system/will`)}
    payload: '{"status":"offline"}'

interval:
  - interval: ${BEAT_EVERY_S}s
    then:
      - mqtt.publish:
          topic: ${quoted(`${device.topic}/system/heartbeat`)}
          payload: !lambda 'return str_sprintf("{\\"uptime\\":%u}", (unsigned) (millis() / 1000));'

sensor:
  - platform: template
    name: "Kaiser"
    update_interval: ${READ_EVERY_S}s
    lambda: 'return 21.5;'
    on_value:
      then:
        - mqtt.publish:
            topic: ${quoted(device.data)}
            qos: 1
            payload: !lambda |-
              return str_sprintf(${quoted(formatOf(device))}, x);
`,

  tasmota: (device) => `Backlog MqttHost ${device.broker}; MqttPort ${device.port}; MqttClient ${device.espId}
${device.user ? `Backlog MqttUser ${device.user}; MqttPassword ${device.password || "the device's password"}
` : ""}Rule1 ON Tele-${device.tasmota} DO Publish ${device.data} ${payloadOf(device, "%value%")} ENDON ON Time#Minute DO Publish ${device.topic}/system/heartbeat {"uptime":0} ENDON
Rule1 1
TelePeriod ${READ_EVERY_S}
`,
};

/** A new id: 8 hex digits, as the chip's number has them. `random`: gives numbers from 0 to 1. */
export const newId = (random = Math.random) =>
  `ESP_${Array.from({ length: 8 }, () => Math.floor(random() * 16).toString(16)).join("").toUpperCase()}`;
