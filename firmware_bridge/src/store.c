#include "store.h"

#include <string.h>

#include "frame.h"

#define SLOT_BYTES 6
#define ERASED 0xFF

struct ring {
    uint32_t value, saved;
    uint8_t slot; /* that holds `saved` */
};

static struct ring rings[STORE_RINGS];
static uint8_t writing[SLOT_BYTES];
static uint8_t writing_ring, written; /* of `writing`; SLOT_BYTES + 1 = idle */
static bool is_broken;

static uint8_t slots_of(uint8_t ring) {
    if (ring == STORE_FIRE) return STORE_FIRE_SLOTS;
    if (ring == STORE_CONFIG) return STORE_CONFIG_SLOTS;
    return ring < STORE_LOCAL_OPENS ? STORE_OPENS_SLOTS : STORE_LOCAL_SLOTS;
}

#define SLOTS (STORE_FIRE_SLOTS + STORE_CONFIG_SLOTS + BOARD_CHANNELS * (STORE_OPENS_SLOTS + STORE_LOCAL_SLOTS))
_Static_assert(SLOT_BYTES * SLOTS <= STORE_BYTES, "the rings do not fit the board's store");

static uint16_t slot_at(uint8_t ring, uint8_t slot) {
    uint16_t slots = slot;
    for (uint8_t r = 0; r < ring; r++) slots += slots_of(r);
    return SLOT_BYTES * slots;
}

static void encode(uint8_t ring, uint32_t value, uint8_t *bytes) {
    uint8_t summed[5] = {ring, (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    uint16_t crc = frame_crc(summed, sizeof summed);
    memcpy(bytes, summed + 1, 4);
    bytes[4] = (uint8_t)(crc >> 8);
    bytes[5] = (uint8_t)crc;
}

static uint32_t value_of(const uint8_t *bytes) {
    return ((uint32_t)bytes[0] << 24) | ((uint32_t)bytes[1] << 16) | ((uint32_t)bytes[2] << 8) | bytes[3];
}

static void read_ring(uint8_t r) {
    struct ring *ring = &rings[r];
    bool is_found = false, is_used = false;
    ring->slot = slots_of(r) - 1;
    for (uint8_t slot = 0; slot < slots_of(r); slot++) {
        uint8_t bytes[SLOT_BYTES], right[SLOT_BYTES];
        for (uint8_t i = 0; i < SLOT_BYTES; i++) {
            bytes[i] = hal_store_read(slot_at(r, slot) + i);
            if (bytes[i] != ERASED) is_used = true;
        }
        uint32_t value = value_of(bytes);
        encode(r, value, right);
        if (memcmp(bytes, right, SLOT_BYTES) != 0) continue; /* safety: torn write */
        if (is_found && value <= ring->saved) continue;
        is_found = true;
        ring->saved = value;
        ring->slot = slot;
    }
    ring->value = ring->saved;
    /* A first write that power cut is no broken store: more than one slot must have been used. */
    if (is_used && !is_found && hal_store_read(slot_at(r, 1)) != ERASED) is_broken = true;
}

void store_init(void) {
    memset(rings, 0, sizeof rings);
    is_broken = false;
    written = SLOT_BYTES + 1;
    for (uint8_t r = 0; r < STORE_RINGS; r++) read_ring(r);
}

uint32_t store_get(uint8_t ring) { return rings[ring].value; }

void store_set(uint8_t ring, uint32_t value) { rings[ring].value = value; }

void store_set_flags(uint8_t ring, uint8_t bits, uint8_t flags) {
    uint32_t value = rings[ring].value;
    uint32_t step = (uint32_t)1 << bits;
    if ((value & (step - 1)) != flags) rings[ring].value = (value & ~(step - 1)) + step + flags;
}

static void begin(uint8_t r) {
    writing_ring = r;
    written = 0;
    rings[r].slot = (uint8_t)((rings[r].slot + 1) % slots_of(r));
    encode(r, rings[r].value, writing);
}

static void finish(void) {
    struct ring *ring = &rings[writing_ring];
    bool is_right = true;
    for (uint8_t i = 0; i < SLOT_BYTES; i++) {
        if (hal_store_read(slot_at(writing_ring, ring->slot) + i) != writing[i]) is_right = false;
    }
    written = SLOT_BYTES + 1;
    if (!is_right) {
        is_broken = true; /* the next tick tries the next slot */
        return;
    }
    ring->saved = value_of(writing);
}

void store_tick(void) {
    if (!hal_store_is_ready()) return;
    if (written < SLOT_BYTES) {
        hal_store_write(slot_at(writing_ring, rings[writing_ring].slot) + written, writing[written]);
        written++;
        return;
    }
    if (written == SLOT_BYTES) {
        finish();
        return;
    }
    for (uint8_t r = 0; r < STORE_RINGS; r++) {
        if (rings[r].value != rings[r].saved) {
            begin(r);
            return;
        }
    }
}

bool store_is_broken(void) { return is_broken; }
