#include "wiegand.h"

#include <string.h>

#define BOTH_HIGH 3
/* Wider than the 20..200 us and 0.2 ms of the readers by an interrupt's delay and a bad reader's margin. */
#define PULSE_MIN_US 8
#define PULSE_MAX_US 1000
#define GAP_MIN_US 50
/* PROTOCOLS 2: gaps reach 20 ms, a frame ends at 25 to 50 ms. */
#define IDLE_US 30000
/* Fewer bits are neither a key (4) nor a card. */
#define BITS_MIN 4

void wiegand_init(struct wiegand *wiegand) {
    memset(wiegand, 0, sizeof *wiegand);
    wiegand->levels = BOTH_HIGH;
}

static void add_bit(struct wiegand *wiegand, uint8_t bit) {
    if (wiegand->bits == WIEGAND_BITS_MAX) {
        wiegand->is_noisy = true;
        return;
    }
    uint8_t mask = 0x80 >> (wiegand->bits & 7);
    uint8_t *byte = &wiegand->data[wiegand->bits >> 3];
    *byte = bit ? *byte | mask : *byte & (uint8_t)~mask;
    wiegand->bits++;
}

static void fell(struct wiegand *wiegand, uint32_t at_us) {
    if (wiegand->bits > 0 && at_us - wiegand->rose_us < GAP_MIN_US) wiegand->is_noisy = true;
    wiegand->fell_us = at_us;
}

static void rose(struct wiegand *wiegand, uint8_t was, uint32_t at_us) {
    uint32_t width_us = at_us - wiegand->fell_us;
    if (width_us > PULSE_MAX_US) wiegand->is_noisy = true;
    if (width_us < PULSE_MIN_US) return; /* a spike is no bit and spoils none */
    wiegand->rose_us = at_us;
    add_bit(wiegand, was == 1); /* D1 was low: a one */
}

void wiegand_edge(struct wiegand *wiegand, uint8_t levels, uint32_t at_us) {
    uint8_t was = wiegand->levels;
    if (!wiegand->is_active) {
        wiegand->is_active = true;
        wiegand->is_noisy = false;
        wiegand->bits = 0;
        memset(wiegand->data, 0, sizeof wiegand->data);
    }
    wiegand->levels = levels;
    if (levels == 0 || (was != BOTH_HIGH && levels != BOTH_HIGH)) {
        wiegand->is_noisy = true; /* both lines low, or one fell as the other rose: no reader does that */
    } else if (was == BOTH_HIGH) {
        fell(wiegand, at_us);
        return;
    } else if (levels == BOTH_HIGH && was != 0) {
        rose(wiegand, was, at_us);
        return;
    }
    wiegand->fell_us = at_us;
    wiegand->rose_us = at_us;
}

void wiegand_spoil(struct wiegand *wiegand, uint32_t now_us) {
    if (!wiegand->is_active) wiegand_edge(wiegand, wiegand->levels, now_us);
    wiegand->is_noisy = true;
}

bool wiegand_ended(struct wiegand *wiegand, uint32_t now_us) {
    if (!wiegand->is_active) return false;
    if (wiegand->levels != BOTH_HIGH) {
        if ((int32_t)(now_us - wiegand->fell_us) > IDLE_US) wiegand->is_noisy = true; /* held low, for however long */
        return false;
    }
    uint32_t last_us = (int32_t)(wiegand->rose_us - wiegand->fell_us) > 0 ? wiegand->rose_us : wiegand->fell_us;
    if ((int32_t)(now_us - last_us) < IDLE_US) return false;
    wiegand->is_active = false;
    if (wiegand->is_noisy || wiegand->bits < BITS_MIN) {
        wiegand->noises++;
        return false;
    }
    return true;
}

uint8_t wiegand_key(const struct wiegand *wiegand) {
    uint8_t high = wiegand->data[0] >> 4;
    uint8_t low = wiegand->data[0] & 0x0F;
    uint8_t key = wiegand->bits == 4 ? high : low;
    if (wiegand->bits == 8 && (high ^ low) != 0x0F) return 0;
    if ((wiegand->bits != 4 && wiegand->bits != 8) || key > 11) return 0;
    return key == 10 ? '*' : key == 11 ? '#' : (uint8_t)('0' + key);
}
