#include "relay.h"

#include <string.h>

#include "inputs.h"
#include "store.h"

#define BIT(relay) ((uint8_t)(1u << (relay)))
#define RELAYS (RELAY_STOP + 1)
#define STUCK_US 20000

struct channel {
    uint32_t from_us[RELAYS], for_us[RELAYS];
    uint32_t right_us; /* when the pins last showed what they were told */
    uint8_t pulses;    /* relays that a pulse closes, bit n = Relay n */
    uint8_t holds;
    uint8_t driven;
    bool has_local_due, was_counted, is_stuck;
};

static struct channel channels[BOARD_CHANNELS];

void relay_init(void) {
    memset(channels, 0, sizeof channels);
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        for (uint8_t relay = RELAY_OPEN; relay < RELAYS; relay++) {
            if (hal_channels[c].relays & BIT(relay)) hal_relay(c, relay, false);
        }
    }
}

static void count(uint8_t c, uint8_t ring) {
    store_set(ring + c, store_get(ring + c) + 1);
    channels[c].was_counted = true;
}

bool relay_is_under_fire(uint8_t channel) {
    if (store_get(STORE_FIRE) & (1u << channel)) return true; /* safety: latched fire */
    return inputs_is_active(channel, INPUT_FIRE);
}

static bool is_opening(const struct channel *channel) {
    return (channel->pulses & BIT(RELAY_OPEN)) || channel->holds || channel->has_local_due;
}

static enum outcome close_refusal(uint8_t c) {
    if (relay_is_under_fire(c)) return OUTCOME_REFUSED_FIRE; /* safety: close under fire */
    if (inputs_is_safety_blocked(c)) return OUTCOME_REFUSED_SAFETY_OCCUPIED; /* safety: close on safety */
    if (channels[c].pulses & BIT(RELAY_STOP)) return OUTCOME_REFUSED_STOPPING; /* safety: close while stopping */
    if (is_opening(&channels[c])) return OUTCOME_REFUSED_OPENING; /* safety: close while opening */
    return OUTCOME_STARTED;
}

static void start(struct channel *channel, uint8_t relay, uint32_t pulse_ms, uint32_t now_us) {
    channel->pulses |= BIT(relay);
    channel->from_us[relay] = now_us;
    channel->for_us[relay] = pulse_ms * 1000;
}

enum outcome relay_refusal(const struct pulse *order) {
    if (order->channel >= BOARD_CHANNELS) return OUTCOME_REFUSED_RANGE;
    if (order->pulse_ms < LIMIT_PULSE_MIN_MS) return OUTCOME_REFUSED_RANGE; /* safety: pulse too short */
    if (order->pulse_ms > LIMIT_PULSE_MAX_MS) return OUTCOME_REFUSED_RANGE; /* safety: pulse too long */
    if (!(hal_channels[order->channel].relays & BIT(order->relay))) return OUTCOME_REFUSED_RANGE;
    if (order->relay == RELAY_CLOSE) return close_refusal(order->channel);
    if (order->relay == RELAY_STOP) {
        if (relay_is_under_fire(order->channel)) return OUTCOME_REFUSED_FIRE; /* safety: stop under fire */
    } else {
        bool is_stopping = channels[order->channel].pulses & BIT(RELAY_STOP);
        if (is_stopping) return OUTCOME_REFUSED_STOPPING; /* safety: open while stopping */
    }
    return OUTCOME_STARTED;
}

void relay_start(const struct pulse *order, uint32_t now_us) {
    struct channel *channel = &channels[order->channel];
    if (order->relay == RELAY_STOP) channel->pulses = 0;
    if (order->relay == RELAY_OPEN) count(order->channel, STORE_OPENS);
    start(channel, order->relay, order->pulse_ms, now_us);
    relay_tick(now_us);
}

void relay_open_locally(uint8_t channel) { channels[channel].has_local_due = true; }

void relay_hold(uint8_t channel, enum relay_hold reason, bool is_held) {
    uint8_t before = channels[channel].holds;
    channels[channel].holds = is_held ? before | reason : before & (uint8_t)~reason;
    if (is_held && before == 0) count(channel, STORE_LOCAL_OPENS);
}

static void end_pulses(uint8_t c, uint32_t now_us) {
    struct channel *channel = &channels[c];
    for (uint8_t relay = RELAY_OPEN; relay < RELAYS; relay++) {
        if (now_us - channel->from_us[relay] >= channel->for_us[relay]) {
            channel->pulses &= (uint8_t)~BIT(relay); /* safety: pulse ends */
        }
    }
    if (relay_is_under_fire(c)) {
        channel->pulses &= (uint8_t)~(BIT(RELAY_CLOSE) | BIT(RELAY_STOP)); /* safety: fire ends close and stop */
    }
    if (inputs_is_safety_blocked(c)) {
        channel->pulses &= (uint8_t)~BIT(RELAY_CLOSE); /* safety: occupied loop ends close */
    }
}

static uint8_t wanted(uint8_t c, uint32_t now_us) {
    struct channel *channel = &channels[c];
    if (channel->pulses & BIT(RELAY_STOP)) return BIT(RELAY_STOP);
    if (channel->has_local_due) {
        channel->has_local_due = false;
        start(channel, RELAY_OPEN, LIMIT_LOCAL_PULSE_MS, now_us);
        count(c, STORE_LOCAL_OPENS);
    }
    if (!is_opening(channel)) return channel->pulses;
    channel->pulses &= (uint8_t)~BIT(RELAY_CLOSE); /* safety: open ends close */
    return BIT(RELAY_OPEN);
}

static void drive(uint8_t c, uint32_t now_us) {
    struct channel *channel = &channels[c];
    uint8_t mask = wanted(c, now_us) & hal_channels[c].relays;
    bool is_right = true;
    for (uint8_t relay = RELAY_OPEN; relay < RELAYS; relay++) {
        uint8_t bit = BIT(relay);
        if (!(hal_channels[c].relays & bit)) continue;
        if (hal_relay_reads(c, relay) != ((channel->driven & bit) != 0)) is_right = false;
        if ((mask ^ channel->driven) & bit) hal_relay(c, relay, (mask & bit) != 0);
    }
    if (is_right) channel->right_us = now_us;
    channel->is_stuck = now_us - channel->right_us > STUCK_US;
    channel->driven = mask;
}

void relay_tick(uint32_t now_us) {
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        end_pulses(c, now_us);
        drive(c, now_us);
    }
}

bool relay_was_counted(uint8_t channel) {
    bool was_counted = channels[channel].was_counted;
    channels[channel].was_counted = false;
    return was_counted;
}

bool relay_is_stuck(uint8_t channel) { return channels[channel].is_stuck; }

bool relay_is_sound(void) {
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        for (uint8_t relay = RELAY_OPEN; relay < RELAYS; relay++) {
            if (channels[c].for_us[relay] > LIMIT_PULSE_MAX_MS * 1000) return false;
        }
        if (channels[c].driven & (uint8_t)~hal_channels[c].relays) return false;
    }
    return true;
}
