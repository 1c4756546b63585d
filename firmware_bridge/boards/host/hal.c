#include "hal_host.h"

#include <string.h>

#include "protocol_ids.h"

#define INPUT_BIT(n) ((uint16_t)(1u << (n)))
#define RELAY_BIT(n) ((uint8_t)(1u << (n)))
#define RX_BYTES 256u
#define TX_BYTES 128u
#define EDGES 64u
/* The Nano's EEPROM takes this long a byte. */
#define STORE_WRITE_US 3400

const struct hal_channel hal_channels[BOARD_CHANNELS] = {
    {
        .wired = INPUT_BIT(INPUT_PRESENCE) | INPUT_BIT(INPUT_SAFETY) | INPUT_BIT(INPUT_ARM_UP) |
                 INPUT_BIT(INPUT_ARM_DOWN) | INPUT_BIT(INPUT_REX) | INPUT_BIT(INPUT_FIRE) |
                 INPUT_BIT(INPUT_TAMPER) | INPUT_BIT(INPUT_EXIT) |
                 INPUT_BIT(INPUT_SAFETY_FAULT),
        .supervised = INPUT_BIT(INPUT_SAFETY) | INPUT_BIT(INPUT_FIRE),
        .relays = RELAY_BIT(RELAY_OPEN) | RELAY_BIT(RELAY_CLOSE) | RELAY_BIT(RELAY_STOP),
    },
    {
        .wired = INPUT_BIT(INPUT_DOOR_OPEN) | INPUT_BIT(INPUT_REX) | INPUT_BIT(INPUT_FIRE),
        .supervised = INPUT_BIT(INPUT_FIRE),
        .relays = RELAY_BIT(RELAY_OPEN),
    },
};

static uint8_t store[STORE_BYTES];
static uint16_t contacts[BOARD_CHANNELS];
static uint8_t line_levels[16];

/* What a reset clears. */
static struct {
    uint8_t rx[RX_BYTES], tx[TX_BYTES];
    uint8_t rx_head, rx_tail, tx_head, tx_tail;
    struct hal_edge edges[EDGES];
    uint8_t edges_head, edges_tail;
    bool is_edge_lost, is_buzzing;
    uint8_t relays[BOARD_CHANNELS];
    bool lamps[BOARD_CHANNELS];
    uint32_t store_ready_us;
} pins;
static int8_t stuck[BOARD_CHANNELS][8];
static bool is_stuck_set;
static uint32_t now_us, fed_us;
static enum hal_reset cause;
static uint16_t boots;

void host_reset(enum hal_reset why) {
    memset(&pins, 0, sizeof pins);
    if (!is_stuck_set) memset(stuck, -1, sizeof stuck);
    is_stuck_set = true;
    fed_us = pins.store_ready_us = now_us;
    cause = why;
    boots++;
}

void host_set_time(uint32_t us) { now_us = us; }
uint32_t host_fed_us(void) { return fed_us; }
uint8_t *host_store(void) { return store; }

void host_contact(uint8_t channel, uint8_t input, bool is_closed) {
    uint16_t bit = INPUT_BIT(input);
    contacts[channel] = is_closed ? contacts[channel] | bit : contacts[channel] & (uint16_t)~bit;
}

void host_line(uint8_t input, uint8_t level) { line_levels[input] = level; }

void host_edge(uint8_t reader, uint8_t levels) {
    uint8_t next = (uint8_t)((pins.edges_head + 1) % EDGES);
    if (next == pins.edges_tail) {
        pins.is_edge_lost = true;
        return;
    }
    pins.edges[pins.edges_head] = (struct hal_edge){now_us, reader, levels};
    pins.edges_head = next;
}

void host_uart_in(uint8_t byte) {
    uint8_t next = (uint8_t)((pins.rx_head + 1) % RX_BYTES);
    if (next == pins.rx_tail) return;
    pins.rx[pins.rx_head] = byte;
    pins.rx_head = next;
}

bool host_uart_out(uint8_t *byte) {
    if (pins.tx_tail == pins.tx_head) return false;
    *byte = pins.tx[pins.tx_tail];
    pins.tx_tail = (uint8_t)((pins.tx_tail + 1) % TX_BYTES);
    return true;
}

bool host_relay(uint8_t channel, uint8_t relay) { return (pins.relays[channel] & RELAY_BIT(relay)) != 0; }
void host_stick(uint8_t channel, uint8_t relay, int8_t level) { stuck[channel][relay] = level; }
bool host_lamp(uint8_t channel) { return pins.lamps[channel]; }
bool host_buzzer(void) { return pins.is_buzzing; }

/* --- hal.h --- */

uint32_t hal_now_us(void) { return now_us; }
enum hal_reset hal_reset_cause(void) { return cause; }
uint16_t hal_boot_id(void) { return boots == 0 ? 1 : boots; }
void hal_watchdog_feed(void) { fed_us = now_us; }

bool hal_uart_get(uint8_t *byte) {
    if (pins.rx_tail == pins.rx_head) return false;
    *byte = pins.rx[pins.rx_tail];
    pins.rx_tail = (uint8_t)((pins.rx_tail + 1) % RX_BYTES);
    return true;
}

uint8_t hal_uart_room(void) { return (uint8_t)((pins.tx_tail - pins.tx_head - 1u) % TX_BYTES); }

void hal_uart_put(uint8_t byte) {
    pins.tx[pins.tx_head] = byte;
    pins.tx_head = (uint8_t)((pins.tx_head + 1) % TX_BYTES);
}

bool hal_edge_get(struct hal_edge *edge) {
    if (pins.edges_tail == pins.edges_head) return false;
    *edge = pins.edges[pins.edges_tail];
    pins.edges_tail = (uint8_t)((pins.edges_tail + 1) % EDGES);
    return true;
}

bool hal_edges_lost(void) {
    bool is_lost = pins.is_edge_lost;
    pins.is_edge_lost = false;
    return is_lost;
}

uint16_t hal_contacts(uint8_t channel) { return contacts[channel]; }

bool hal_line(uint8_t channel, uint8_t input, uint8_t *level) {
    (void)channel;
    *level = line_levels[input];
    return true;
}

void hal_relay(uint8_t channel, uint8_t relay, bool is_closed) {
    uint8_t bit = RELAY_BIT(relay);
    pins.relays[channel] = is_closed ? pins.relays[channel] | bit : pins.relays[channel] & (uint8_t)~bit;
}

bool hal_relay_reads(uint8_t channel, uint8_t relay) {
    int8_t forced = stuck[channel][relay];
    return forced < 0 ? host_relay(channel, relay) : forced != 0;
}

void hal_lamp(uint8_t channel, bool is_lit) { pins.lamps[channel] = is_lit; }
void hal_buzzer(bool is_on) { pins.is_buzzing = is_on; }
uint8_t hal_store_read(uint16_t at) { return store[at]; }
bool hal_store_is_ready(void) { return (int32_t)(now_us - pins.store_ready_us) >= 0; }

void hal_store_write(uint16_t at, uint8_t byte) {
    store[at] = byte;
    pins.store_ready_us = now_us + STORE_WRITE_US;
}
