#include "app.h"

#include <string.h>

#include "hal.h"
#include "inputs.h"
#include "link.h"
#include "relay.h"
#include "store.h"
#include "wiegand.h"

#define FAULT_CODES (FAULT_CODE_FIRE_LINE_BROKEN + 1)
/* A reset's cause is a fault until a host has known it this long. */
#define RESET_TOLD_MS 10000

struct lane {
    uint16_t told; /* inputs as the host last heard them, bit n = Input n */
    uint8_t told_faults;
    uint8_t lamp;
    uint32_t lamp_ms;    /* when the lamp was set */
    bool is_rex_settled; /* the button was seen once since the start: only a later press opens */
    bool is_rex_served;
};

static struct lane lanes[BOARD_CHANNELS];
static struct wiegand readers[BOARD_READERS];
static uint32_t last_us, ms_us; /* time of the last tick; time up to which `now_ms` counts */
static uint32_t now_ms, reset_told_ms;
static bool is_reset_told, is_reset_old;

void app_init(uint32_t now_us) {
    memset(lanes, 0, sizeof lanes);
    last_us = ms_us = now_us;
    now_ms = 0;
    is_reset_told = is_reset_old = false;
    store_init();
    inputs_init();
    relay_init();
    link_init(now_ms);
    for (uint8_t r = 0; r < BOARD_READERS; r++) wiegand_init(&readers[r]);
}

/* --- readers --- */

static void tell_frame(uint8_t reader, const struct wiegand *frame) {
    uint8_t fields[LINK_TELL_MAX];
    uint8_t key = wiegand_key(frame);
    if (key != 0) {
        const struct key_pressed pressed = {reader, key, frame->rose_us};
        link_tell(MSG_KEY_PRESSED, fields, key_pressed_encode(&pressed, fields));
        return;
    }
    const struct wire_text data = {frame->data, (uint8_t)((frame->bits + 7) / 8)};
    const struct card_read card = {reader, frame->bits, data, frame->rose_us};
    link_tell(MSG_CARD_READ, fields, card_read_encode(&card, fields));
}

static void read_cards(uint32_t now_us) {
    struct hal_edge edge;
    bool is_lost = hal_edges_lost();
    while (hal_edge_get(&edge)) {
        struct wiegand *reader = &readers[edge.reader];
        /* A frame that ended before this edge is told first, however late we come. */
        if (wiegand_ended(reader, edge.at_us)) tell_frame(edge.reader, reader);
        wiegand_edge(reader, edge.levels, edge.at_us);
    }
    for (uint8_t r = 0; r < BOARD_READERS; r++) {
        if (is_lost) wiegand_spoil(&readers[r], now_us);
        if (wiegand_ended(&readers[r], now_us)) tell_frame(r, &readers[r]);
    }
}

/* --- inputs --- */

static void tell_input(uint8_t channel, uint8_t input, bool is_active, uint32_t now_us) {
    uint8_t fields[LINK_TELL_MAX];
    const struct input_edge edge = {channel, input, is_active, now_us};
    link_tell(MSG_INPUT_EDGE, fields, input_edge_encode(&edge, fields));
}

static void tell_counts(uint8_t channel) {
    uint8_t fields[LINK_TELL_MAX];
    uint32_t opens = store_get(STORE_OPENS + channel), local_opens = store_get(STORE_LOCAL_OPENS + channel);
    const struct relay_count counts = {channel, opens, local_opens};
    link_tell(MSG_RELAY_COUNT, fields, relay_count_encode(&counts, fields));
}

static void latch_fire(uint8_t channel, bool is_latched) {
    uint8_t latched = store_get(STORE_FIRE) & 0x0F;
    uint8_t bit = (uint8_t)(1u << channel);
    store_set_flags(STORE_FIRE, 4, is_latched ? latched | bit : latched & (uint8_t)~bit);
}

/* The exit button opens by itself while no host obeys; a press that a host lost is not lost. */
static void heed_exit_button(uint8_t channel) {
    struct lane *lane = &lanes[channel];
    bool is_pressed = inputs_is_active(channel, INPUT_REX);
    if (!inputs_are_settled(channel)) return;
    if (!lane->is_rex_settled) lane->is_rex_served = is_pressed; /* safety: button stuck at start */
    lane->is_rex_settled = true;
    if (!is_pressed) lane->is_rex_served = false;
    if (is_pressed && !lane->is_rex_served && !link_is_lease_held()) {
        lane->is_rex_served = true;
        relay_open_locally(channel); /* safety: exit button without a host */
    }
}

static void heed_fire(uint8_t channel) {
    if (inputs_is_active(channel, INPUT_FIRE)) {
        latch_fire(channel, true); /* safety: fire is latched */
    }
    relay_hold(channel, HOLD_FIRE, relay_is_under_fire(channel)); /* safety: fire opens */
}

static void heed_inputs(uint32_t now_us) {
    inputs_tick((uint16_t)now_ms);
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        uint16_t changed = inputs_active(c) ^ lanes[c].told;
        lanes[c].told = inputs_active(c);
        for (uint8_t input = 0; changed; input++, changed >>= 1) {
            if (changed & 1) tell_input(c, input, inputs_is_active(c, input), now_us);
        }
        heed_fire(c);
        heed_exit_button(c);
    }
}

/* --- faults --- */

static bool is_faulty(uint8_t channel, uint8_t code) {
    bool is_reset_news = channel == 0 && !is_reset_old;
    switch (code) {
    case FAULT_CODE_SAFETY_LOOP_BROKEN:
        return inputs_is_broken(channel, INPUT_SAFETY);
    case FAULT_CODE_FIRE_LINE_BROKEN:
        return inputs_is_broken(channel, INPUT_FIRE);
    case FAULT_CODE_RELAY_STUCK:
        return relay_is_stuck(channel);
    case FAULT_CODE_STORE_BROKEN:
        return channel == 0 && store_is_broken();
    case FAULT_CODE_WATCHDOG_RESET:
        return is_reset_news && hal_reset_cause() == HAL_RESET_WATCHDOG;
    default:
        return is_reset_news && hal_reset_cause() == HAL_RESET_BROWN_OUT;
    }
}

/* Tell the faults that changed; all that are active after `told_faults` was cleared. */
static void tell_faults(void) {
    if (is_reset_told && now_ms - reset_told_ms > RESET_TOLD_MS) is_reset_old = true;
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        for (uint8_t code = 1; code < FAULT_CODES; code++) {
            uint8_t fields[LINK_TELL_MAX];
            uint8_t bit = (uint8_t)(1u << code);
            const struct fault fault = {c, code, is_faulty(c, code)};
            if (fault.is_active == ((lanes[c].told_faults & bit) != 0)) continue;
            lanes[c].told_faults ^= bit;
            link_tell(MSG_FAULT, fields, fault_encode(&fault, fields));
        }
    }
}

/* --- the host's orders --- */

static void obey_pulse(const struct pulse *order, uint32_t now_us) {
    uint8_t fields[LINK_TELL_MAX];
    enum outcome outcome = relay_refusal(order);
    if (!link_is_lease_held()) outcome = OUTCOME_REFUSED_NO_LEASE; /* safety: no lease */
    if (outcome == OUTCOME_STARTED) relay_start(order, now_us);
    if (order->channel < BOARD_CHANNELS && relay_was_counted(order->channel)) tell_counts(order->channel);
    const struct pulse_result result = {order->channel, order->relay, (uint8_t)outcome};
    link_tell(MSG_PULSE_RESULT, fields, pulse_result_encode(&result, fields));
}

static void obey_lane_config(const struct lane_config *config) {
    if (config->channel >= BOARD_CHANNELS) return;
    link_host_spoke();
    uint8_t shift = (uint8_t)(2 * config->channel);
    uint8_t kept = (uint8_t)store_get(STORE_CONFIG) & (uint8_t) ~(3u << shift);
    store_set_flags(STORE_CONFIG, 8, kept | (uint8_t)(config->on_host_loss << shift));
}

static void obey_release_fire(uint8_t channel) {
    if (channel >= BOARD_CHANNELS || !link_is_lease_held()) return; /* safety: release without a lease */
    if (inputs_is_active(channel, INPUT_FIRE)) return; /* it would be latched again at once */
    latch_fire(channel, false);
}

static void snapshot(uint32_t now_us) {
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        uint8_t fields[LINK_TELL_MAX];
        uint16_t fire = (uint16_t)(1u << INPUT_FIRE);
        bool is_only_latched = relay_is_under_fire(c) && !inputs_is_active(c, INPUT_FIRE);
        struct input_snapshot shot = {c, hal_channels[c].wired, inputs_active(c)};
        if (is_only_latched) shot.active |= fire;
        link_tell(MSG_INPUT_SNAPSHOT, fields, input_snapshot_encode(&shot, fields));
        /* A host that was away while fire came and went hears both: it holds the lane, and somebody can release it. */
        if (is_only_latched) tell_input(c, INPUT_FIRE, false, now_us);
        tell_counts(c);
        lanes[c].told_faults = 0;
    }
    tell_faults();
    if (!is_reset_told) {
        is_reset_told = true;
        reset_told_ms = now_ms;
    }
}

static void obey(const struct frame *order, uint32_t now_us) {
    union {
        struct pulse pulse;
        struct indicate indicate;
        struct lane_config config;
        struct release_fire release;
    } words;
    if (order->id == MSG_PULSE && pulse_decode(&words.pulse, order->fields, order->length)) {
        obey_pulse(&words.pulse, now_us);
    } else if (order->id == MSG_INDICATE && indicate_decode(&words.indicate, order->fields, order->length)) {
        if (words.indicate.channel >= BOARD_CHANNELS) return;
        lanes[words.indicate.channel].lamp = words.indicate.lamp;
        lanes[words.indicate.channel].lamp_ms = now_ms;
    } else if (order->id == MSG_LANE_CONFIG && lane_config_decode(&words.config, order->fields, order->length)) {
        obey_lane_config(&words.config);
    } else if (order->id == MSG_RELEASE_FIRE && release_fire_decode(&words.release, order->fields, order->length)) {
        obey_release_fire(words.release.channel);
    } else if (order->id == MSG_SNAPSHOT_REQUEST) {
        snapshot(now_us);
    }
}

/* Without a host for long enough, a fail-safe lane stands open until one is back; fail-secure moves nothing. */
static void watch_host(void) {
    bool is_gone = link_unfed_ms() > LIMIT_LANE_RELEASE_MS;
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        uint8_t declared = (store_get(STORE_CONFIG) >> (2 * c)) & 3;
        relay_hold(c, HOLD_HOST_LOST, is_gone && declared == ON_HOST_LOSS_FAIL_SAFE); /* safety: fail-safe */
    }
}

/* --- lamps: granted lights, held blinks once a second, denied five times; one beep for yes, three for no --- */

static void show(void) {
    bool is_beeping = false;
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        struct lane *lane = &lanes[c];
        uint32_t since_ms = now_ms - lane->lamp_ms;
        if (since_ms > 0x40000000ul) lane->lamp_ms = now_ms - 0x20000000ul;
        bool is_lit = lane->lamp == LAMP_GRANTED;
        if (lane->lamp == LAMP_HELD) is_lit = (since_ms / 500) % 2 == 0;
        if (lane->lamp == LAMP_DENIED) is_lit = (since_ms / 100) % 2 == 0;
        if (lane->lamp == LAMP_GRANTED && since_ms < 150) is_beeping = true;
        if (lane->lamp == LAMP_DENIED && since_ms < 600 && (since_ms / 100) % 2 == 0) is_beeping = true;
        hal_lamp(c, is_lit);
    }
    hal_buzzer(is_beeping);
}

static bool advance(uint32_t now_us) {
    bool is_new = false;
    while (now_us - ms_us >= 1000) {
        ms_us += 1000;
        now_ms++;
        is_new = true;
    }
    return is_new;
}

bool app_tick(uint32_t now_us) {
    bool is_time_passing = now_us != last_us;
    struct frame order = {0, 0, 0, 0};
    last_us = now_us;
    read_cards(now_us);
    if (advance(now_us)) {
        heed_inputs(now_us);
        link_tick(now_ms);
        watch_host();
        tell_faults();
        show();
    }
    while (link_receive(&order)) obey(&order, now_us);
    relay_tick(now_us);
    for (uint8_t c = 0; c < BOARD_CHANNELS; c++) {
        if (relay_was_counted(c)) tell_counts(c);
    }
    store_tick();
    return is_time_passing && relay_is_sound();
}
