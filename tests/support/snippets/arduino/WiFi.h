// What a sketch needs of the ESP32's Wi-Fi and clock; the sketch runs until `turns` calls of loop() are over.
#pragma once
#include <cstdint>
#include <cstdio>

enum { WL_CONNECTED = 3 };

struct WiFiStub {
  void begin(const char *, const char *) {}
  int status() { return WL_CONNECTED; }
  int8_t RSSI() { return -61; }
};
static WiFiStub WiFi;

struct EspStub {
  uint32_t getFreeHeap() { return 201344; }
};
static EspStub ESP;

struct WiFiClient {};

static unsigned long now_ms = 0;
inline unsigned long millis() { return now_ms; }
inline void delay(unsigned long ms) { now_ms += ms; }
