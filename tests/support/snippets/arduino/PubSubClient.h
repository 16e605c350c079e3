// PubSubClient 2.8 as far as a sketch that sends uses it: what is published is a line of topic, tab, payload.
#pragma once
#include <cstring>
#include "WiFi.h"

class PubSubClient {
 public:
  explicit PubSubClient(WiFiClient &) {}
  PubSubClient &setServer(const char *domain, uint16_t port) {
    printf("server\t%s:%u\n", domain, port);
    return *this;
  }
  bool setBufferSize(uint16_t size) {
    buffer = size;
    return true;
  }
  bool connect(const char *id, const char *user, const char *password, const char *willTopic, uint8_t, bool,
               const char *willMessage) {
    printf("client\t%s %s %s\nwill\t%s %s\n", id, user ? user : "-", password ? password : "-", willTopic, willMessage);
    return isConnected = true;
  }
  bool connected() { return isConnected; }
  bool loop() { return true; }
  bool publish(const char *topic, const char *payload) {
    if (5 + 2 + strlen(topic) + strlen(payload) > buffer) return false;  // as the library: silently, when it does not fit
    printf("%s\t%s\n", topic, payload);
    return true;
  }

 private:
  bool isConnected = false;
  size_t buffer = 256;
};
