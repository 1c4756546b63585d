/* The relays of every channel: pulses that end by themselves, and who goes before whom.
 *
 * Fire goes before STOP, STOP before OPEN, OPEN before CLOSE. CLOSE needs a safety loop that is clear and sound. */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "hal.h"
#include "protocol_ids.h"

/* Why OPEN is held closed without a pulse. */
enum relay_hold { HOLD_FIRE = 1, HOLD_HOST_LOST = 2 };

void relay_init(void);
/* Why the host's order must not be obeyed; OUTCOME_STARTED when it may. The lease is the caller's to check. */
enum outcome relay_refusal(const struct pulse *order);
/* Obey an order that relay_refusal() lets through. */
void relay_start(const struct pulse *order, uint32_t now_us);
/* Open by the bridge's own decision, as soon as a STOP pulse is over. */
void relay_open_locally(uint8_t channel);
/* Hold OPEN for a reason, or let go of it. */
void relay_hold(uint8_t channel, enum relay_hold reason, bool is_held);
/* End what is over, drop what is no longer allowed, drive the pins. Call it each millisecond or sooner. */
void relay_tick(uint32_t now_us);
/* Whether OPEN was closed since the last call: its counters changed. */
bool relay_was_counted(uint8_t channel);
/* A pin does not show what it was told, for 20 ms on end. */
bool relay_is_stuck(uint8_t channel);
/* Whether the memory behind the relays makes sense: every pulse has an end within limits. */
bool relay_is_sound(void);
/* Fire is on the line, or latched until a named person releases it. */
bool relay_is_under_fire(uint8_t channel);

#endif
