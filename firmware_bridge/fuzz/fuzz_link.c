/* libFuzzer: bytes from the host and edges from the readers into the whole core, whatever they are.
 *
 * The rules that must hold for every input are asserted after each turn. */
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "frame.h"
#include "hal_host.h"
#include "link.h"
#include "protocol_ids.h"

#define MUST(condition) \
    do {                \
        if (!(condition)) abort(); \
    } while (0)

static uint32_t now_us;
static uint32_t closed_us[BOARD_CHANNELS][8];

static void check(void) {
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        MUST(host_relay(c, RELAY_OPEN) + host_relay(c, RELAY_CLOSE) + host_relay(c, RELAY_STOP) <= 1);
        for (uint8_t relay = RELAY_CLOSE; relay <= RELAY_STOP; relay++) {
            if (!host_relay(c, relay)) closed_us[c][relay] = now_us;
            MUST(now_us - closed_us[c][relay] <= LIMIT_PULSE_MAX_MS * 1000 + 2000);
        }
    }
    /* The safety loop is occupied all along: nothing may ever close. */
    MUST(!host_relay(0, RELAY_CLOSE));
}

static void turn(uint32_t us) {
    uint8_t byte;
    for (uint32_t end_us = now_us + us; now_us != end_us;) {
        uint32_t left_us = end_us - now_us;
        now_us += left_us > 500 ? 500 : left_us;
        host_set_time(now_us);
        MUST(app_tick(now_us));
        while (host_uart_out(&byte)) continue;
        check();
    }
}

/* A frame whose checksum is right: id and fields come from the input. */
static void take_frame(const uint8_t *data, size_t size, uint8_t seq) {
    uint8_t wire[FRAME_WIRE_MAX];
    uint8_t length = (uint8_t)(size - 1 > LINK_MAX_FIELDS_BYTES ? LINK_MAX_FIELDS_BYTES : size - 1);
    uint8_t bytes = frame_encode(data[0], seq, data + 1, length, wire);
    for (uint8_t i = 0; i < bytes; i++) host_uart_in(wire[i]);
}

static void greet(void) {
    const struct hello hello = {SCHEMA_HASH, 1, {(const uint8_t *)"fuzz", 4}};
    uint8_t fields[LINK_MAX_FIELDS_BYTES], wire[FRAME_WIRE_MAX];
    uint8_t bytes = frame_encode(MSG_HELLO, 0, fields, hello_encode(&hello, fields), wire);
    for (uint8_t i = 0; i < bytes; i++) host_uart_in(wire[i]);
    bytes = frame_encode(MSG_HEARTBEAT, 0, NULL, 0, wire);
    for (uint8_t i = 0; i < bytes; i++) host_uart_in(wire[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t seq = 0;
    memset(host_store(), 0xFF, STORE_BYTES);
    memset(closed_us, 0, sizeof closed_us);
    now_us = 0;
    host_set_time(0);
    host_reset(HAL_RESET_POWER);
    host_line(INPUT_SAFETY, 170);
    host_line(INPUT_FIRE, 128);
    app_init(0);
    turn(20000);
    greet();
    turn(1000);
    while (size > 1) {
        uint8_t verb = data[0] & 3, count = data[1];
        data += 2;
        size -= 2;
        if (count > size) count = (uint8_t)size;
        if (verb == 0) {
            for (uint8_t i = 0; i < count; i++) host_uart_in(data[i]);
        } else if (verb == 1 && count > 0) {
            seq = seq % 255 + 1;
            take_frame(data, count, seq);
        } else if (verb == 2) {
            for (uint8_t i = 0; i < count; i++) host_edge(data[i] >> 7, data[i] & 3);
        } else if (count > 0) {
            host_line(data[0] & 1 ? INPUT_FIRE : INPUT_SAFETY, data[0] & 1 ? data[0] : 170);
            host_contact(data[0] >> 7, (data[0] >> 1) & 15, data[0] & 0x20);
        }
        data += count;
        size -= count;
        turn(500u + 40u * count);
    }
    turn(50000);
    return 0;
}
