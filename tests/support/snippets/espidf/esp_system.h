#pragma once
#include <stdint.h>
static inline uint32_t esp_get_free_heap_size(void) { return 201344; }
