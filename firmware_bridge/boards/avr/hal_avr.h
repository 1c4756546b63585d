/* What main() needs of this board beside hal.h. */
#ifndef HAL_AVR_H
#define HAL_AVR_H

/* Timers, serial port, converter, interrupts. Relays are driven low long before, ahead of main(). */
void hal_start(void);
/* Take the next voltage of the supervised lines; never waits. */
void hal_measure(void);
/* Sleep until an interrupt: at most a millisecond. */
void hal_idle(void);

#endif
