// The version of the esp32 core. The command line may define an older one.
#pragma once

#ifndef ESP_ARDUINO_VERSION_MAJOR
#define ESP_ARDUINO_VERSION_MAJOR 3
#endif
