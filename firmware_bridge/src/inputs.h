/* Contacts and supervised lines, debounced and with their meaning: active = occupied, up, open, pressed, alarmed.
 *
 * Safety, fire and tamper are normally closed: a cut wire reads as active. Before a line was measured, safety counts as
 * occupied and faulted. */
#ifndef INPUTS_H
#define INPUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "hal.h"
#include "protocol_ids.h"

#define INPUT_COUNT 12

void inputs_init(void);
/* Sample everything; call it each millisecond. */
void inputs_tick(uint16_t now_ms);
/* Whether every input of the channel has been stable once since the start. */
bool inputs_are_settled(uint8_t channel);
bool inputs_is_active(uint8_t channel, uint8_t input);
/* Bit n: Input n. */
uint16_t inputs_active(uint8_t channel);
/* A supervised line that is cut or shorted. */
bool inputs_is_broken(uint8_t channel, uint8_t input);
/* The safety loop lets nothing be lowered: occupied, faulted, or not known yet. */
bool inputs_is_safety_blocked(uint8_t channel);

#endif
