/* The virtual pins of the host's board, as a bench moves and reads them. */
#ifndef HAL_HOST_H
#define HAL_HOST_H

#include "hal.h"

/* A start, or a reset: outputs drop, queues empty; the store and the wires stay as they are. */
void host_reset(enum hal_reset cause);
void host_set_time(uint32_t now_us);
/* When the watchdog was last fed. */
uint32_t host_fed_us(void);
void host_contact(uint8_t channel, uint8_t input, bool is_closed);
void host_line(uint8_t input, uint8_t level);
void host_edge(uint8_t reader, uint8_t levels);
void host_uart_in(uint8_t byte);
bool host_uart_out(uint8_t *byte);
bool host_relay(uint8_t channel, uint8_t relay);
/* The pin shows this, whatever it is told: 0, 1, or -1 for a sound one. */
void host_stick(uint8_t channel, uint8_t relay, int8_t level);
bool host_lamp(uint8_t channel);
bool host_buzzer(void);
uint8_t *host_store(void);

#endif
