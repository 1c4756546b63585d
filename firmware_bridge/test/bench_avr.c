/* The shipped image in simavr. Outputs are read off the port registers after every instruction: a pin that is an input
 * (reset, before the firmware runs) counts as released, which is what the board's pull-downs make of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <simavr/avr_adc.h>
#include <simavr/avr_eeprom.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_hex.h>
#include <simavr/sim_time.h>

#include "protocol_ids.h"
#include "target.h"

#define MHZ 16
#define SUPPLY_MV 5000
/* Data-space addresses (ATmega328P data sheet, 36). */
#define PIN_B 0x23
#define MCUSR_AT 0x54
#define EECR_AT 0x3F
#define EEAR_AT 0x41
#define PORF_BIT 1
#define RAM_AT 0x100
#define RAM_BYTES 2048
/* What memory holds after a power cut. */
#define RUBBISH 0x5A
/* Nothing of the image is here: an endless loop is put here to hang the firmware. */
#define HANG_AT 0x7D00

static avr_t *avr;
static bool was_reset;
static void (*core_reset)(struct avr_t *);

struct pin {
    char port;
    int bit;
    int level;
};

/* By channel and Input. */
static struct pin contacts[TARGET_CHANNELS][12];
static struct pin readers[2][2] = {{{'D', 2, 1}, {'D', 3, 1}}, {{'D', 4, 1}, {'D', 5, 1}}};
static int line_mv[2] = {SUPPLY_MV, SUPPLY_MV};

/* simavr puts a pull-up's level on an input whenever the firmware writes the port, unless told what drives the pin. */
static void drive(const struct pin *pin) {
    static unsigned masks[3], values[3];
    int port = pin->port - 'B';
    masks[port] |= 1u << pin->bit;
    values[port] = pin->level != 0 ? values[port] | 1u << pin->bit : values[port] & ~(1u << pin->bit);
    avr_ioport_external_t outside = {
        .name = (unsigned long)pin->port, .mask = masks[port] & 0xFF, .value = values[port] & 0xFF};
    avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL(pin->port), &outside);
}

static void raise(const struct pin *pin) {
    if (pin->port == 0) return;
    drive(pin);
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ(pin->port), pin->bit), (uint32_t)(pin->level != 0));
}

static void raise_all(void) {
    for (int c = 0; c < TARGET_CHANNELS; c++) {
        for (int input = 0; input < 12; input++) raise(&contacts[c][input]);
    }
    for (int i = 0; i < 4; i++) raise(&readers[i / 2][i % 2]);
    for (int i = 0; i < 2; i++) {
        avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC6 + i), (uint32_t)line_mv[i]);
    }
}

static void sent(struct avr_irq_t *irq, uint32_t value, void *parameter) {
    (void)irq;
    (void)parameter;
    bench_sent((uint8_t)value);
}

static void noticed_reset(struct avr_t *which) {
    if (core_reset) core_reset(which);
    was_reset = true;
}

static void no_sleep(struct avr_t *which, avr_cycle_count_t cycles) {
    (void)which;
    (void)cycles; /* the wall clock is bench.c's concern */
}

static void quiet(struct avr_t *which, const int level, const char *format, va_list words) {
    (void)which;
    if (level <= LOG_ERROR) vfprintf(stderr, format, words);
}

static void load(const char *path) {
    ihex_chunk_p chunks = NULL;
    int count = read_ihex_chunks(path, &chunks);
    if (count <= 0) {
        fprintf(stderr, "%s is no Intel HEX file\n", path);
        exit(1);
    }
    for (int i = 0; i < count; i++) memcpy(avr->flash + chunks[i].baseaddr, chunks[i].data, chunks[i].size);
    avr->codeend = avr->flashend;
    avr->flash[HANG_AT] = 0xFF; /* rjmp .-2 */
    avr->flash[HANG_AT + 1] = 0xCF;
}

static void wire(int channel, int input, char port, int bit) { contacts[channel][input] = (struct pin){port, bit, 1}; }

static void erase_store(void) {
    for (int at = 0; at < TARGET_STORE_BYTES; at++) target_store_write(at, 0xFF);
}

void target_init(const char *image) {
    uint32_t flags = 0;
    if (image == NULL) {
        fprintf(stderr, "usage: bench_avr IMAGE.hex [--pty]\n");
        exit(2);
    }
    avr_global_logger_set(quiet);
    avr = avr_make_mcu_by_name("atmega328p");
    avr_init(avr);
    avr->frequency = MHZ * 1000000;
    avr->vcc = avr->avcc = avr->aref = SUPPLY_MV;
    avr->sleep = no_sleep;
    core_reset = avr->reset;
    avr->reset = noticed_reset;
    load(image);
    wire(0, INPUT_PRESENCE, 'C', 0);
    wire(0, INPUT_ARM_UP, 'C', 1);
    wire(0, INPUT_ARM_DOWN, 'C', 2);
    wire(0, INPUT_REX, 'C', 3);
    wire(0, INPUT_TAMPER, 'C', 4);
    wire(1, INPUT_REX, 'B', 3);
    wire(1, INPUT_DOOR_OPEN, 'B', 4);
    avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    flags &= ~(uint32_t)(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), sent, NULL);
    erase_store();
    raise_all();
}

uint64_t target_now_us(void) { return avr->cycle / MHZ; }

static avr_cycle_count_t wake(struct avr_t *which, avr_cycle_count_t when, void *parameter) {
    (void)which;
    (void)when;
    (void)parameter;
    return 0; /* only keeps a sleeping core from sleeping past it */
}

static bool is_high(char port, int bit) {
    int at = PIN_B + 3 * (port - 'B');
    return (avr->data[at + 1] & avr->data[at + 2] & (1 << bit)) != 0; /* DDR and PORT */
}

static void look(void) {
    static unsigned before;
    unsigned now = 0;
    for (int at = PIN_B; at <= 0x29; at += 3) now = (now << 8) | (avr->data[at + 1] & avr->data[at + 2]);
    if (now == before) return;
    before = now;
    struct outputs outputs;
    memset(&outputs, 0, sizeof outputs);
    int of_0 = is_high('D', 6) << RELAY_OPEN | is_high('D', 7) << RELAY_CLOSE | is_high('B', 0) << RELAY_STOP;
    outputs.relays[0] = (uint8_t)of_0;
    outputs.relays[1] = (uint8_t)(is_high('B', 1) << RELAY_OPEN);
    outputs.buzzer = is_high('B', 2);
    outputs.lamps[0] = is_high('B', 5);
    outputs.lamps[1] = is_high('C', 5);
    bench_saw(&outputs, target_now_us());
}

void target_run_to(uint64_t us) {
    avr_cycle_count_t end = us * MHZ;
    if (end > avr->cycle) avr_cycle_timer_register(avr, end - avr->cycle, wake, NULL);
    while (avr->cycle < end) {
        int state = avr_run(avr);
        look();
        if (was_reset) {
            was_reset = false;
            raise_all();
            if (end > avr->cycle) avr_cycle_timer_register(avr, end - avr->cycle, wake, NULL);
        }
        if (state == cpu_Crashed || state == cpu_Done) {
            fprintf(stderr, "the firmware crashed at %#x\n", avr->pc);
            exit(1);
        }
    }
    avr_cycle_timer_cancel(avr, wake, NULL);
}

void target_contact(int channel, int input, bool is_closed) {
    contacts[channel][input].level = !is_closed;
    raise(&contacts[channel][input]);
}

void target_line(int input, int level) {
    int line = input == INPUT_FIRE ? 1 : 0;
    line_mv[line] = level * SUPPLY_MV / 255;
    raise_all();
}

void target_reader(int reader, int line, bool is_line_high) {
    readers[reader][line].level = is_line_high;
    raise(&readers[reader][line]);
}

bool target_uart_in(uint8_t byte) {
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT), byte);
    return true;
}

void target_reset(bool is_power_cut) {
    if (is_power_cut) {
        /* A byte that was being written is neither the old nor the new one. */
        if (avr->data[EECR_AT] & 2) {
            target_store_write(avr->data[EEAR_AT] | (avr->data[EEAR_AT + 1] & 3) << 8, 0xA5);
        }
        memset(avr->data + RAM_AT, RUBBISH, RAM_BYTES);
    }
    avr_reset(avr);
    avr->state = cpu_Running;
    avr->data[MCUSR_AT] = PORF_BIT;
    was_reset = false;
    raise_all();
    look();
}

void target_hang(void) {
    avr->pc = HANG_AT;
    avr->state = cpu_Running;
}

bool target_stick(int channel, int relay, int level) {
    (void)channel;
    (void)relay;
    (void)level;
    return false;
}

int target_untouched(void) {
    int longest = 0, run = 0;
    for (int at = RAM_AT; at < RAM_AT + RAM_BYTES; at++) {
        run = avr->data[at] == RUBBISH ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    return longest;
}

uint8_t target_store_read(int at) {
    uint8_t byte;
    avr_eeprom_desc_t one = {.ee = &byte, .offset = (uint16_t)at, .size = 1};
    avr_ioctl(avr, AVR_IOCTL_EEPROM_GET, &one);
    return byte;
}

void target_store_write(int at, uint8_t byte) {
    avr_eeprom_desc_t one = {.ee = &byte, .offset = (uint16_t)at, .size = 1};
    avr_ioctl(avr, AVR_IOCTL_EEPROM_SET, &one);
}
