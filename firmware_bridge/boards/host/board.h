/* A board of virtual pins, for tests: the Nano's wiring and a few inputs more. */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_NAME "host"
#define BOARD_CHANNELS 2
#define BOARD_READERS 2

#define STORE_BYTES 1024
#define STORE_FIRE_SLOTS 16
#define STORE_CONFIG_SLOTS 8
#define STORE_OPENS_SLOTS 54
#define STORE_LOCAL_SLOTS 19

#endif
