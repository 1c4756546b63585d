/* The core on the host's virtual pins. */
#include <string.h>

#include "app.h"
#include "hal_host.h"
#include "target.h"

/* The Nano's loop comes round about as often. */
#define TURN_US 100
/* WDTO_250MS of the Nano. */
#define WATCHDOG_US 250000

static uint64_t now_us;
static bool is_hung;
static uint8_t levels[BOARD_READERS];

static void look(void) {
    struct outputs outputs;
    memset(&outputs, 0, sizeof outputs);
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        for (uint8_t relay = 1; relay < TARGET_RELAYS; relay++) {
            if (host_relay(c, relay)) outputs.relays[c] |= (uint8_t)(1u << relay);
        }
        outputs.lamps[c] = host_lamp(c);
    }
    outputs.buzzer = host_buzzer();
    bench_saw(&outputs, now_us);
}

static void start(enum hal_reset cause) {
    is_hung = false;
    host_set_time((uint32_t)now_us);
    host_reset(cause);
    look();
    app_init((uint32_t)now_us);
}

void target_init(const char *image) {
    (void)image;
    memset(host_store(), 0xFF, TARGET_STORE_BYTES);
    memset(levels, 3, sizeof levels);
    start(HAL_RESET_POWER);
}

uint64_t target_now_us(void) { return now_us; }

static void turn(void) {
    uint8_t byte;
    host_set_time((uint32_t)now_us);
    if (!is_hung && app_tick((uint32_t)now_us)) hal_watchdog_feed();
    if ((uint32_t)now_us - host_fed_us() > WATCHDOG_US) start(HAL_RESET_WATCHDOG);
    while (host_uart_out(&byte)) bench_sent(byte);
    look();
}

void target_run_to(uint64_t us) {
    while (now_us < us) {
        now_us = us - now_us > TURN_US ? now_us + TURN_US : us;
        turn();
    }
}

void target_contact(int channel, int input, bool is_closed) {
    host_contact((uint8_t)channel, (uint8_t)input, is_closed);
}

void target_line(int input, int level) { host_line((uint8_t)input, (uint8_t)level); }

void target_reader(int reader, int line, bool is_high) {
    uint8_t bit = (uint8_t)(1u << line);
    levels[reader] = is_high ? levels[reader] | bit : levels[reader] & (uint8_t)~bit;
    host_set_time((uint32_t)now_us);
    host_edge((uint8_t)reader, levels[reader]);
}

bool target_uart_in(uint8_t byte) {
    host_uart_in(byte);
    return true;
}

void target_reset(bool is_power_cut) {
    (void)is_power_cut;
    start(HAL_RESET_POWER);
}

void target_hang(void) { is_hung = true; }

bool target_stick(int channel, int relay, int level) {
    host_stick((uint8_t)channel, (uint8_t)relay, (int8_t)level);
    return true;
}

int target_untouched(void) { return -1; }

uint8_t target_store_read(int at) { return host_store()[at]; }
void target_store_write(int at, uint8_t byte) { host_store()[at] = byte; }
