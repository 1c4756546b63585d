/* The bridge's end of the link: answers hello, keeps the lease, delivers what it is told once and in order.
 *
 * The same rules as DeviceLink in gatectl/wire/bridge.py. Times are monotonic milliseconds. */
#ifndef LINK_H
#define LINK_H

#include "frame.h"

/* Bytes of fields of the longest message that is told: card_read with 80 bits. */
#define LINK_TELL_MAX 18

void link_init(uint32_t now_ms);

/* Let time be `now_ms`: the lease runs out, what stayed unacknowledged is sent again. */
void link_tick(uint32_t now_ms);

/* The host's next order (pulse, indicate, lane_config, …); false when there is none. */
bool link_receive(struct frame *order);

/* Tell the host, once and in order; false when there is no host. A full queue ends the session. */
bool link_tell(uint8_t id, const uint8_t *fields, uint8_t length);

/* A pulse is obeyed only while the host's controller feeds the lease. */
bool link_is_lease_held(void);

/* How long ago the lease was last fed, or the bridge started. */
uint32_t link_unfed_ms(void);
/* A host declares its lanes: it is there, though its controller has not fed the lease yet. */
void link_host_spoke(void);

#endif
