/* What the core asks of a board. Nothing here blocks; registers are touched behind it and nowhere else.
 *
 * A port brings this file's functions, a `board.h` (how many channels and readers, as array sizes) and a main loop that
 * calls app_tick() at least each millisecond. Everything but hal_edge_get() and the serial queues is called from that
 * loop only. */
#ifndef HAL_H
#define HAL_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h" /* BOARD_CHANNELS (1..4), BOARD_READERS (1..4), BOARD_NAME, STORE_BYTES */

/* What is wired to a channel; bit n of `wired` and `supervised` is Input n, bit n of `relays` is Relay n. */
struct hal_channel {
    uint16_t wired;
    uint16_t supervised; /* inputs with end-of-line resistors, read by hal_line() and not by hal_contacts() */
    uint8_t relays;
};
extern const struct hal_channel hal_channels[BOARD_CHANNELS];

enum hal_reset { HAL_RESET_POWER, HAL_RESET_WATCHDOG, HAL_RESET_BROWN_OUT };

/* Free running, wraps after 71 minutes. */
uint32_t hal_now_us(void);

/* Why the board started, and a number that differs from the last start's (never 0). */
enum hal_reset hal_reset_cause(void);
uint16_t hal_boot_id(void);

/* The host's line: both ends are queues. hal_uart_put() is called only while hal_uart_room() is not 0. */
bool hal_uart_get(uint8_t *byte);
uint8_t hal_uart_room(void);
void hal_uart_put(uint8_t byte);

/* A reader's data lines changed at `at_us`; bit 0 of `levels` is D0, bit 1 is D1, idle is both high. */
struct hal_edge {
    uint32_t at_us;
    uint8_t reader;
    uint8_t levels;
};
bool hal_edge_get(struct hal_edge *edge);
/* Whether edges were lost since the last call. */
bool hal_edges_lost(void);

/* Bit n: the contact of Input n is closed (its pin is pulled low). */
uint16_t hal_contacts(uint8_t channel);
/* Voltage of a supervised input, 0..255 of the supply; false until it was measured for the first time. */
bool hal_line(uint8_t channel, uint8_t input, uint8_t *level);

/* Energise a relay (Relay n), and what its pin really shows. A board leaves reset with every relay released. */
void hal_relay(uint8_t channel, uint8_t relay, bool is_closed);
bool hal_relay_reads(uint8_t channel, uint8_t relay);
void hal_lamp(uint8_t channel, bool is_lit);
void hal_buzzer(bool is_on);

/* Bytes that outlive power. A write takes milliseconds; the next one waits until the store is ready. */
uint8_t hal_store_read(uint16_t at);
bool hal_store_is_ready(void);
void hal_store_write(uint16_t at, uint8_t byte);

/* Must be called each 100 ms, or the board resets itself, which releases every relay. */
void hal_watchdog_feed(void);

#endif
