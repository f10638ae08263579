// The heap functions of the esp32 core for several kinds of memory, for the host.
#pragma once

#include <stddef.h>
#include <stdint.h>

constexpr uint32_t MALLOC_CAP_8BIT = 1 << 2;
constexpr uint32_t MALLOC_CAP_SPIRAM = 1 << 10;
constexpr uint32_t MALLOC_CAP_INTERNAL = 1 << 11;

void* heap_caps_malloc(size_t bytes, uint32_t kinds);
void heap_caps_free(void* memory);
