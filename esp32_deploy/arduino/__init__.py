"""Makes a library for the Arduino IDE from generated C++ and recorded images."""
