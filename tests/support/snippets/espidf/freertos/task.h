#pragma once
#include <stdlib.h>
static int turns_left = 2;
static inline void vTaskDelay(unsigned) {
  if (--turns_left <= 0) exit(0);
}
static inline int xTaskCreate(void (*task)(void *), const char *, unsigned, void *argument, unsigned, void *) {
  task(argument);
  return 1;
}
