// esp-mqtt of ESP-IDF 5 as far as a program that sends uses it: what is sent is a line of topic, tab, payload.
#pragma once
#include <stdio.h>

typedef struct {
  struct { struct { const char *uri; } address; } broker;
  struct {
    const char *username;
    const char *client_id;
    struct { const char *password; } authentication;
  } credentials;
  struct { struct { const char *topic; const char *msg; int msg_len; int qos; int retain; } last_will; } session;
} esp_mqtt_client_config_t;
typedef struct esp_mqtt_client *esp_mqtt_client_handle_t;

static inline esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config) {
  const char *user = config->credentials.username, *password = config->credentials.authentication.password;
  printf("server\t%s\nclient\t%s %s %s\nwill\t%s %s\n", config->broker.address.uri + 7, config->credentials.client_id,
         user ? user : "-", password ? password : "-", config->session.last_will.topic, config->session.last_will.msg);
  return nullptr;
}
static inline int esp_mqtt_client_start(esp_mqtt_client_handle_t) { return 0; }
static inline int esp_mqtt_client_enqueue(esp_mqtt_client_handle_t, const char *topic, const char *data, int, int, int,
                                          bool) {
  printf("%s\t%s\n", topic, data);
  return 1;
}
