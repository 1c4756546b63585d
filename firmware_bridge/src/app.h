/* The bridge itself: what main() calls, whatever the board. */
#ifndef APP_H
#define APP_H

#include <stdbool.h>
#include <stdint.h>

/* Once, after the board's own set-up, with every relay released. */
void app_init(uint32_t now_us);

/* Everything that is due. Call it at least each millisecond; it never waits. Returns whether all is as it must be: the
 * caller feeds the hardware watchdog then, and only then. */
bool app_tick(uint32_t now_us);

#endif
