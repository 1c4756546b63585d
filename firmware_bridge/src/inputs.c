#include "inputs.h"

#include <string.h>

#define BIT(n) ((uint16_t)(1u << (n)))

#define NORMALLY_CLOSED (BIT(INPUT_SAFETY) | BIT(INPUT_FIRE) | BIT(INPUT_TAMPER) | BIT(INPUT_SAFETY_FAULT))
#define LOOPS (BIT(INPUT_PRESENCE) | BIT(INPUT_SAFETY) | BIT(INPUT_EXIT))

/* A supervised line: 4.7 kOhm to the supply, 4.7 kOhm in series with the contact, 4.7 kOhm across it. Closed it stands
 * at 1/2 of the supply, open at 2/3, cut at 1, shorted at 0; the borders lie between, of 255. */
#define LEVEL_SHORT 64
#define LEVEL_OPEN 149
#define LEVEL_CUT 213

struct channel {
    uint16_t active, raw;
    uint16_t broken, raw_broken;
    uint16_t settled;
    uint16_t since_ms[INPUT_COUNT];
};

static struct channel channels[BOARD_CHANNELS];

void inputs_init(void) {
    memset(channels, 0, sizeof channels);
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        channels[c].active = hal_channels[c].wired & BIT(INPUT_SAFETY); /* safety: loop not looked at yet */
    }
}

/* What the wires say now, before any debouncing; false until every line was measured. */
static bool sample(uint8_t c, uint16_t *active, uint16_t *broken) {
    const struct hal_channel *wires = &hal_channels[c];
    uint16_t contacts = (hal_contacts(c) ^ NORMALLY_CLOSED) & wires->wired;
    *broken = 0;
    for (uint8_t input = 0; input < INPUT_COUNT; input++) {
        uint8_t level;
        if (!(wires->supervised & BIT(input))) continue;
        if (!hal_line(c, input, &level)) return false;
        bool is_cut = level >= LEVEL_CUT;
        bool is_short = level < LEVEL_SHORT;
        bool is_open = level >= LEVEL_OPEN;
        contacts &= (uint16_t)~BIT(input);
        if (is_open) contacts |= BIT(input); /* safety: open contact */
        if (is_short) contacts |= BIT(input); /* safety: shorted line */
        if (is_cut || is_short) *broken |= BIT(input);
    }
    *active = contacts;
    return true;
}

static uint16_t hold_ms(uint8_t input, bool is_active) {
    return (LOOPS & BIT(input)) && !is_active ? LIMIT_LOOP_CLEAR_MS : LIMIT_INPUT_DEBOUNCE_MS;
}

void inputs_tick(uint16_t now_ms) {
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        struct channel *channel = &channels[c];
        uint16_t active, broken;
        if (!sample(c, &active, &broken)) continue;
        uint16_t changed = (uint16_t)((active ^ channel->raw) | (broken ^ channel->raw_broken));
        channel->raw = active;
        channel->raw_broken = broken;
        for (uint8_t input = 0; input < INPUT_COUNT; input++) {
            uint16_t bit = BIT(input);
            if (!(hal_channels[c].wired & bit)) continue;
            if (changed & bit) channel->since_ms[input] = now_ms;
            uint16_t held_ms = (uint16_t)(now_ms - channel->since_ms[input]);
            if (held_ms >= LIMIT_INPUT_DEBOUNCE_MS) {
                channel->broken = (uint16_t)((channel->broken & ~bit) | (broken & bit));
                channel->settled |= bit;
            }
            if (held_ms >= hold_ms(input, active & bit)) { /* safety: loop clears late => if (held_ms >= 10) { */
                channel->active = (uint16_t)((channel->active & ~bit) | (active & bit));
            }
            if (held_ms > 0x4000) channel->since_ms[input] = (uint16_t)(now_ms - 0x4000); /* no wrap */
        }
    }
}

bool inputs_are_settled(uint8_t channel) {
    return (hal_channels[channel].wired & ~channels[channel].settled) == 0;
}

bool inputs_is_active(uint8_t channel, uint8_t input) { return (channels[channel].active & BIT(input)) != 0; }

uint16_t inputs_active(uint8_t channel) { return channels[channel].active; }

bool inputs_is_broken(uint8_t channel, uint8_t input) { return (channels[channel].broken & BIT(input)) != 0; }

bool inputs_is_safety_blocked(uint8_t channel) {
    if (inputs_is_active(channel, INPUT_SAFETY)) return true; /* safety: occupied */
    if (inputs_is_broken(channel, INPUT_SAFETY)) return true; /* twice: a broken line reads as occupied already */
    if (inputs_is_active(channel, INPUT_SAFETY_FAULT)) return true; /* safety: detector fault */
    return false;
}
