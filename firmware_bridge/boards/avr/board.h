/* ATmega328P at 16 MHz: an Arduino Nano or anything that is wired like one. Pins: docs/firmware.md. */
#ifndef BOARD_H
#define BOARD_H

#define BOARD_NAME "nano-atmega328p"
#define BOARD_CHANNELS 2
#define BOARD_READERS 2

/* 1 KB of EEPROM, 100,000 writes a byte (ATmega328P data sheet, 8.4): 54 slots are 5.4 million openings a channel. */
#define STORE_BYTES 1024
#define STORE_FIRE_SLOTS 16
#define STORE_CONFIG_SLOTS 8
#define STORE_OPENS_SLOTS 54
#define STORE_LOCAL_SLOTS 19

#endif
