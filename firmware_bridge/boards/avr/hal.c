#include "hal.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <avr/wdt.h>
#include <util/atomic.h>

#include "hal_avr.h"
#include "protocol_ids.h"

#define BIT(n) ((uint8_t)(1u << (n)))
#define INPUT_BIT(n) ((uint16_t)(1u << (n)))

/* Port D: 0 RX, 1 TX, 2 and 3 reader 0, 4 and 5 reader 1, 6 OPEN and 7 CLOSE of channel 0. */
#define D_READERS (BIT(2) | BIT(3) | BIT(4) | BIT(5))
#define D_RELAYS (BIT(6) | BIT(7))
/* Port B: 0 STOP of channel 0, 1 OPEN of channel 1, 2 buzzer, 3 exit button and 4 door of channel 1, 5 lamp of 0. */
#define B_OUTPUTS (BIT(0) | BIT(1) | BIT(2) | BIT(5))
#define B_INPUTS (BIT(3) | BIT(4))
/* Port C: 0 presence, 1 arm up, 2 arm down, 3 exit button, 4 tamper of channel 0, 5 lamp of channel 1. */
#define C_OUTPUTS BIT(5)
#define C_INPUTS (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4))
/* Supervised lines: safety of channel 0 at A6, fire of both channels at A7. */
#define LINE_FIRST 6
#define LINES 2

const struct hal_channel hal_channels[BOARD_CHANNELS] = {
    {
        .wired = INPUT_BIT(INPUT_PRESENCE) | INPUT_BIT(INPUT_SAFETY) | INPUT_BIT(INPUT_ARM_UP) |
                 INPUT_BIT(INPUT_ARM_DOWN) | INPUT_BIT(INPUT_REX) | INPUT_BIT(INPUT_FIRE) | INPUT_BIT(INPUT_TAMPER),
        .supervised = INPUT_BIT(INPUT_SAFETY) | INPUT_BIT(INPUT_FIRE),
        .relays = BIT(RELAY_OPEN) | BIT(RELAY_CLOSE) | BIT(RELAY_STOP),
    },
    {
        .wired = INPUT_BIT(INPUT_DOOR_OPEN) | INPUT_BIT(INPUT_REX) | INPUT_BIT(INPUT_FIRE),
        .supervised = INPUT_BIT(INPUT_FIRE),
        .relays = BIT(RELAY_OPEN),
    },
};

/* --- before main(): the cause of the reset, the watchdog, relays --- */

static uint8_t reset_flags __attribute__((section(".noinit")));
static uint16_t boots __attribute__((section(".noinit")));

void hal_before_main(void) __attribute__((naked, used, section(".init3")));

void hal_before_main(void) {
    DDRD = D_RELAYS; /* the ports' latches are 0 after a reset: the pins go from floating to low */
    DDRB = B_OUTPUTS;
    reset_flags = MCUSR;
    MCUSR = 0; /* or the watchdog cannot be set */
    wdt_enable(WDTO_250MS);
    boots++;
}

enum hal_reset hal_reset_cause(void) {
    if (reset_flags & BIT(WDRF)) return HAL_RESET_WATCHDOG;
    return (reset_flags & BIT(BORF)) && !(reset_flags & BIT(PORF)) ? HAL_RESET_BROWN_OUT : HAL_RESET_POWER;
}

uint16_t hal_boot_id(void) { return boots == 0 ? 1 : boots; }

void hal_watchdog_feed(void) { wdt_reset(); }

/* --- time: timer 1 counts half microseconds, timer 0 wakes the loop each millisecond --- */

static volatile uint32_t overflows;

ISR(TIMER1_OVF_vect) { overflows++; }

EMPTY_INTERRUPT(TIMER0_COMPA_vect)

uint32_t hal_now_us(void) {
    uint32_t high;
    uint16_t low;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        low = TCNT1;
        high = overflows;
        if ((TIFR1 & BIT(TOV1)) && low < 0x8000) high++;
    }
    return (high << 15) | (low >> 1);
}

/* --- serial: two rings filled and emptied by interrupts --- */

#define RX_BYTES 128u
#define TX_BYTES 128u

static volatile uint8_t rx[RX_BYTES], tx[TX_BYTES];
static volatile uint8_t rx_head, rx_tail, tx_head, tx_tail;

ISR(USART_RX_vect) {
    uint8_t byte = UDR0;
    uint8_t next = (uint8_t)((rx_head + 1) % RX_BYTES);
    if (next == rx_tail) return; /* a frame is lost; it is sent again */
    rx[rx_head] = byte;
    rx_head = next;
}

ISR(USART_UDRE_vect) {
    if (tx_tail == tx_head) {
        UCSR0B &= (uint8_t)~BIT(UDRIE0);
        return;
    }
    UDR0 = tx[tx_tail];
    tx_tail = (uint8_t)((tx_tail + 1) % TX_BYTES);
}

bool hal_uart_get(uint8_t *byte) {
    if (rx_tail == rx_head) return false;
    *byte = rx[rx_tail];
    rx_tail = (uint8_t)((rx_tail + 1) % RX_BYTES);
    return true;
}

uint8_t hal_uart_room(void) { return (uint8_t)((tx_tail - tx_head - 1u) % TX_BYTES); }

void hal_uart_put(uint8_t byte) {
    tx[tx_head] = byte;
    tx_head = (uint8_t)((tx_head + 1) % TX_BYTES);
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) { UCSR0B |= BIT(UDRIE0); }
}

/* --- readers: each change of a data line is stamped by the interrupt and looked at later --- */

#define EDGES 64u

static volatile struct {
    uint16_t half_us;
    uint8_t pins;
} edges[EDGES];
static volatile uint8_t edges_head, edges_tail;
static volatile bool is_edge_lost;
static bool has_lost; /* what the lines show now may be unknown to us */
static uint8_t seen_pins = D_READERS;

ISR(PCINT2_vect) {
    uint8_t pins = PIND & D_READERS;
    uint8_t next = (uint8_t)((edges_head + 1) % EDGES);
    if (next == edges_tail) {
        is_edge_lost = true;
        return;
    }
    edges[edges_head].half_us = TCNT1;
    edges[edges_head].pins = pins;
    edges_head = next;
}

/* After a loss, once the ring is empty: what the lines show by now is an edge too. */
static void look_again(void) {
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        if (has_lost && edges_tail == edges_head) {
            edges[edges_head].half_us = TCNT1;
            edges[edges_head].pins = PIND & D_READERS;
            edges_head = (uint8_t)((edges_head + 1) % EDGES);
            has_lost = false;
        }
    }
}

bool hal_edge_get(struct hal_edge *edge) {
    look_again();
    while (edges_tail != edges_head) {
        uint8_t pins = edges[edges_tail].pins;
        uint8_t changed = pins ^ seen_pins;
        if (changed != 0) {
            uint8_t shift = (changed & (BIT(2) | BIT(3))) ? 2 : 4;
            uint8_t mask = (uint8_t)(3u << shift);
            edge->reader = shift == 2 ? 0 : 1;
            edge->levels = (pins >> shift) & 3;
            uint32_t now_us = hal_now_us();
            /* The loop comes round each millisecond: an edge is younger than the timer's 32 ms. */
            edge->at_us = now_us - (uint16_t)((uint16_t)(now_us << 1) - edges[edges_tail].half_us) / 2;
            seen_pins = (uint8_t)((seen_pins & ~mask) | (pins & mask));
            return true;
        }
        edges_tail = (uint8_t)((edges_tail + 1) % EDGES);
    }
    return false;
}

bool hal_edges_lost(void) {
    bool is_lost = is_edge_lost;
    is_edge_lost = false;
    if (is_lost) has_lost = true;
    return is_lost;
}

/* --- contacts and lines --- */

uint16_t hal_contacts(uint8_t channel) {
    uint8_t b = (uint8_t)~PINB, c = (uint8_t)~PINC; /* pulled low = closed */
    uint16_t closed = 0;
    if (channel == 0) {
        if (c & BIT(0)) closed |= INPUT_BIT(INPUT_PRESENCE);
        if (c & BIT(1)) closed |= INPUT_BIT(INPUT_ARM_UP);
        if (c & BIT(2)) closed |= INPUT_BIT(INPUT_ARM_DOWN);
        if (c & BIT(3)) closed |= INPUT_BIT(INPUT_REX);
        if (c & BIT(4)) closed |= INPUT_BIT(INPUT_TAMPER);
    } else {
        if (b & BIT(3)) closed |= INPUT_BIT(INPUT_REX);
        if (b & BIT(4)) closed |= INPUT_BIT(INPUT_DOOR_OPEN);
    }
    return closed;
}

static uint8_t levels[LINES];
static uint8_t measured; /* bit n: line n was measured */
static uint8_t measuring;

static void start_measuring(void) {
    ADMUX = BIT(REFS0) | BIT(ADLAR) | (LINE_FIRST + measuring);
    ADCSRA = BIT(ADEN) | BIT(ADSC) | BIT(ADPS2) | BIT(ADPS1) | BIT(ADPS0); /* 125 kHz */
}

void hal_measure(void) {
    if (ADCSRA & BIT(ADSC)) return;
    levels[measuring] = ADCH;
    measured |= BIT(measuring);
    measuring = (measuring + 1) % LINES;
    start_measuring();
}

bool hal_line(uint8_t channel, uint8_t input, uint8_t *level) {
    uint8_t line = input == INPUT_FIRE ? 1 : 0;
    (void)channel; /* fire is one line for both channels */
    *level = levels[line];
    return (measured & BIT(line)) != 0;
}

/* --- outputs --- */

static uint8_t relay_pin(uint8_t channel, uint8_t relay, volatile uint8_t **port, volatile uint8_t **pin) {
    bool is_on_d = channel == 0 && relay != RELAY_STOP;
    *port = is_on_d ? &PORTD : &PORTB;
    *pin = is_on_d ? &PIND : &PINB;
    if (is_on_d) return relay == RELAY_OPEN ? BIT(6) : BIT(7);
    return channel == 0 ? BIT(0) : BIT(1);
}

static void set(volatile uint8_t *port, uint8_t bits, bool is_high) {
    *port = is_high ? *port | bits : *port & (uint8_t)~bits;
}

void hal_relay(uint8_t channel, uint8_t relay, bool is_closed) {
    volatile uint8_t *port, *pin;
    uint8_t bit = relay_pin(channel, relay, &port, &pin);
    set(port, bit, is_closed);
}

bool hal_relay_reads(uint8_t channel, uint8_t relay) {
    volatile uint8_t *port, *pin;
    uint8_t bit = relay_pin(channel, relay, &port, &pin);
    return (*pin & bit) != 0;
}

void hal_lamp(uint8_t channel, bool is_lit) {
    if (channel == 0) {
        set(&PORTB, BIT(5), is_lit);
    } else {
        set(&PORTC, BIT(5), is_lit);
    }
}

void hal_buzzer(bool is_on) { set(&PORTB, BIT(2), is_on); }

/* --- EEPROM --- */

bool hal_store_is_ready(void) { return (EECR & BIT(EEPE)) == 0; }

uint8_t hal_store_read(uint16_t at) {
    while (!hal_store_is_ready()) continue; /* only just after a reset: the core reads when nothing is being written */
    EEAR = at;
    EECR |= BIT(EERE);
    return EEDR;
}

void hal_store_write(uint16_t at, uint8_t byte) {
    EEAR = at;
    EEDR = byte;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) { /* the two lie within four cycles (data sheet, 8.6.3) */
        EECR |= BIT(EEMPE);
        EECR |= BIT(EEPE);
    }
}

/* --- start --- */

void hal_start(void) {
    PORTD |= D_READERS; /* pull-ups: an idle or cut reader line is high */
    PORTB |= B_INPUTS;
    PORTC = C_INPUTS;
    DDRC = C_OUTPUTS;

    TCCR1B = BIT(CS11); /* 2 MHz */
    TIMSK1 = BIT(TOIE1);
    TCCR0A = BIT(WGM01);
    OCR0A = F_CPU / 64 / 1000 - 1;
    TCCR0B = BIT(CS01) | BIT(CS00);
    TIMSK0 = BIT(OCIE0A);

    UCSR0A = BIT(U2X0);
    UBRR0 = (F_CPU / 4 / LINK_BAUD - 1) / 2; /* 115200 comes out as 117647: 2.1 %, within the UART's 3 % */
    UCSR0C = BIT(UCSZ01) | BIT(UCSZ00);
    UCSR0B = BIT(RXEN0) | BIT(TXEN0) | BIT(RXCIE0);

    PCMSK2 = D_READERS;
    PCICR = BIT(PCIE2);

    start_measuring();
    set_sleep_mode(SLEEP_MODE_IDLE);
    sleep_enable();
    sei();
}

void hal_idle(void) { sleep_cpu(); }
