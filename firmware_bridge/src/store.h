/* What outlives power: the life counters, the fire latch and what each lane does without a host.
 *
 * Every value has a ring of slots of its own and only ever grows; a change goes to the next slot, so that wear is
 * spread and a write that power cut in two leaves the value before it. A slot: value u32, CRC-16 over ring and value.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "hal.h"

enum store_ring {
    STORE_FIRE,   /* grows by 16 a change; its low 4 bits are the latched channels */
    STORE_CONFIG, /* grows by 256 a change; 2 bits a channel, an enum on_host_loss */
    STORE_OPENS,  /* one a channel: OPEN closings by the host's orders */
    STORE_LOCAL_OPENS = STORE_OPENS + BOARD_CHANNELS, /* one a channel: by the bridge itself */
    STORE_RINGS = STORE_LOCAL_OPENS + BOARD_CHANNELS,
};

/* Read everything; call it before anything else of this file. */
void store_init(void);
uint32_t store_get(uint8_t ring);
/* Takes effect at once and is written behind; `value` is greater than the last one. */
void store_set(uint8_t ring, uint32_t value);
/* Change the low `bits` of a growing value; no write where they stand so already. */
void store_set_flags(uint8_t ring, uint8_t bits, uint8_t flags);
/* Write at most one byte. */
void store_tick(void);
/* A slot did not read back as written, or a ring that was in use holds nothing readable. */
bool store_is_broken(void);

#endif
