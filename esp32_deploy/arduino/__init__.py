"""Generated C++ and recorded images in, a library that the Arduino IDE installs out."""
