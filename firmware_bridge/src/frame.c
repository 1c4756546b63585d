#include "frame.h"

uint16_t frame_crc(const uint8_t *data, uint8_t length) {
    uint16_t crc = 0xFFFF;
    for (uint8_t i = 0; i < length; i++) {
        /* One byte at a time, without a table: the folding of poly 0x1021 by shifts. */
        uint8_t x = (uint8_t)((crc >> 8) ^ data[i]);
        x ^= x >> 4;
        crc = (uint16_t)((crc << 8) ^ ((uint16_t)x << 12) ^ ((uint16_t)x << 5) ^ x);
    }
    return crc;
}

/* COBS in place of `length` < 254 bytes that begin at wire[1]; the code bytes go where the zeros stood. */
static void stuff(uint8_t *wire, uint8_t length) {
    uint8_t *code = wire;
    for (uint8_t *at = wire + 1; at <= wire + length; at++) {
        if (*at == 0) {
            *code = (uint8_t)(at - code);
            code = at;
        }
    }
    *code = (uint8_t)(wire + length + 1 - code);
}

uint8_t frame_encode(uint8_t id, uint8_t seq, const uint8_t *fields, uint8_t length, uint8_t *wire) {
    uint8_t *body = wire + 2;
    body[0] = id;
    body[1] = seq;
    for (uint8_t i = 0; i < length; i++) body[2 + i] = fields[i];
    uint16_t crc = frame_crc(body, length + 2);
    body[2 + length] = (uint8_t)(crc >> 8);
    body[3 + length] = (uint8_t)crc;
    wire[0] = 0;
    stuff(wire + 1, length + 4);
    wire[length + 6] = 0;
    return length + 7;
}

/* COBS decoded in place; the length, or -1 where a block runs past the end. */
static int16_t unstuff(uint8_t *data, uint8_t length) {
    uint8_t out = 0;
    for (uint8_t at = 0; at < length;) {
        uint8_t code = data[at++];
        if (code == 0 || code - 1 > length - at) return -1;
        for (uint8_t i = 1; i < code; i++) data[out++] = data[at++];
        if (at < length) data[out++] = 0;
    }
    return out;
}

static bool open_piece(struct deframer *deframer, struct frame *frame) {
    uint8_t *body = deframer->piece;
    int16_t length = unstuff(body, deframer->length);
    if (length < 4) return false;
    uint16_t crc = (uint16_t)(((uint16_t)body[length - 2] << 8) | body[length - 1]);
    if (frame_crc(body, (uint8_t)(length - 2)) != crc) return false; /* safety: checksum */
    frame->id = body[0];
    frame->seq = body[1];
    frame->fields = body + 2;
    frame->length = (uint8_t)(length - 4);
    return true;
}

bool deframer_take(struct deframer *deframer, uint8_t byte, struct frame *frame) {
    if (byte != 0) {
        if (deframer->length == FRAME_ENCODED_MAX) {
            deframer->is_too_long = true;
        } else {
            deframer->piece[deframer->length++] = byte;
        }
        return false;
    }
    if (deframer->length == 0) return false;
    bool is_whole = !deframer->is_too_long && open_piece(deframer, frame);
    deframer->length = 0;
    deframer->is_too_long = false;
    if (!is_whole) deframer->bad_frames++;
    return is_whole;
}
