/* One reader's Wiegand lines: edges in, frames out. Times are microseconds that wrap.
 *
 * A bit is a low pulse of 20 to 200 us on D0 (a 0) or D1 (a 1), 0.2 to 20 ms apart; 30 ms of idle lines end a frame
 * (PROTOCOLS 2). Tolerances stand in wiegand.c. */
#ifndef WIEGAND_H
#define WIEGAND_H

#include <stdbool.h>
#include <stdint.h>

#define WIEGAND_BITS_MAX 80

struct wiegand {
    uint8_t data[WIEGAND_BITS_MAX / 8]; /* left-aligned */
    uint8_t bits;
    uint8_t levels;
    bool is_noisy;  /* void until the lines were idle */
    bool is_active; /* an edge was seen since the last frame's end */
    uint32_t fell_us, rose_us;
    uint16_t noises; /* frames that were void, or too short to be anything */
};

void wiegand_init(struct wiegand *wiegand);
void wiegand_edge(struct wiegand *wiegand, uint8_t levels, uint32_t at_us);
/* Edges were lost: what is being received is void. */
void wiegand_spoil(struct wiegand *wiegand, uint32_t now_us);
/* True once a frame, when the lines have been idle long enough; its bits stand in `data` until the next edge. */
bool wiegand_ended(struct wiegand *wiegand, uint32_t now_us);
/* The key in a frame of 4 bits, or of 8 bits whose first half is the complement of the second, as ASCII; 0 = none. */
uint8_t wiegand_key(const struct wiegand *wiegand);

#endif
