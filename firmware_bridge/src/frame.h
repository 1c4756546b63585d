/* Frames of the link: 00 | COBS( id, seq, fields, crc ) | 00, as protocol.toml lays them out. */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol_ids.h"

#define FRAME_BODY_MAX (2 + LINK_MAX_FIELDS_BYTES + 2)
#define FRAME_ENCODED_MAX (FRAME_BODY_MAX + 1)
/* Both delimiters included. */
#define FRAME_WIRE_MAX (FRAME_ENCODED_MAX + 2)

struct frame {
    uint8_t id;
    uint8_t seq;
    uint8_t length; /* of `fields` */
    const uint8_t *fields;
};

struct deframer {
    uint8_t piece[FRAME_ENCODED_MAX];
    uint8_t length;
    bool is_too_long;
    uint16_t bad_frames;
};

/* CRC-16/CCITT, poly 0x1021, start 0xFFFF; "123456789" gives 0x29B1. */
uint16_t frame_crc(const uint8_t *data, uint8_t length);

/* Write a frame to `wire` (FRAME_WIRE_MAX bytes); returns its length there. */
uint8_t frame_encode(uint8_t id, uint8_t seq, const uint8_t *fields, uint8_t length, uint8_t *wire);

/* Take one byte; true when it ends a frame whose checksum is right. `frame->fields` lives until the next byte. */
bool deframer_take(struct deframer *deframer, uint8_t byte, struct frame *frame);

#endif
