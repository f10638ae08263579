// The esp32 core's version; the command line may choose an older one.
#pragma once

#ifndef ESP_ARDUINO_VERSION_MAJOR
#define ESP_ARDUINO_VERSION_MAJOR 3
#endif
