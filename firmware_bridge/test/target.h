/* A board under test, as bench.c sees it: either the shipped image in simavr, or the core on virtual pins. */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stdint.h>

#define TARGET_CHANNELS 2
#define TARGET_RELAYS 4
#define TARGET_STORE_BYTES 1024

/* What the outputs show: bit n of relays[c] is Relay n. */
struct outputs {
    uint8_t relays[TARGET_CHANNELS];
    bool lamps[TARGET_CHANNELS];
    bool buzzer;
};

void target_init(const char *image);
/* Emulated microseconds since the start. */
uint64_t target_now_us(void);
/* Run up to this time; bench_saw() is called at each change of an output. */
void target_run_to(uint64_t us);
void target_contact(int channel, int input, bool is_closed);
/* 0..255 of the supply. */
void target_line(int input, int level);
/* Set one data line (0 or 1) of a reader. */
void target_reader(int reader, int line, bool is_high);
bool target_uart_in(uint8_t byte);
/* A press of the reset button, or a power cut: the store stays, memory is rubbish after a cut. */
void target_reset(bool is_power_cut);
/* The main loop stops turning; interrupts go on. */
void target_hang(void);
/* The pin shows 0 or 1 whatever it is told; -1 heals it. False where the target cannot. */
bool target_stick(int channel, int relay, int level);
uint8_t target_store_read(int at);
void target_store_write(int at, uint8_t byte);
/* Bytes of memory that nothing has touched since the last power cut; -1 where the target cannot tell. */
int target_untouched(void);

/* Of bench.c. */
void bench_saw(const struct outputs *outputs, uint64_t us);
void bench_sent(uint8_t byte);

#endif
