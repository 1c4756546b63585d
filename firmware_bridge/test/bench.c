/* A test bench on stdin and stdout, a command a line; every command ends with `ok US` (emulated time) or `no WORDS`.
 *
 *   step US                     let time pass
 *   contact CH INPUT 0|1        open or close a contact           line INPUT LEVEL   a supervised line, 0..255
 *   card READER BITS W P        bits as pulses of W us, P us apart, from now on
 *   pulse READER LINE W         one low pulse of W us             level READER LINE 0|1   a data line held
 *   uart HEX                    bytes from the host, at the line's speed
 *   reset | cut | hang          button, power cut, main loop stuck
 *   stick CH RELAY -1|0|1       a relay's pin forced (host board only)
 *   untouched                   bytes of memory that were never used since the last power cut
 *   peek AT COUNT | poke AT HEX the store's bytes
 *
 * Told meanwhile: `relay CH RELAY 0|1 US`, `lamp CH 0|1 US`, `buzzer 0|1 US`, `tx HEX` (before `ok`).
 * With --pty the first line is `pty PATH`; time runs with the wall clock and the host's bytes go through that port. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "target.h"

#define EVENTS 4096
#define QUEUE_BYTES 65536u
/* One byte at 115200 baud. */
#define BYTE_US 87
/* A machine too busy to keep up loses this much at most; more is dropped, so that nothing runs faster than life. */
#define LAG_MAX_US 50000

struct event {
    uint64_t at_us;
    uint8_t reader, line, level;
};

static struct event events[EVENTS]; /* in order of time */
static int events_first, events_count;
static uint8_t in[QUEUE_BYTES], out[QUEUE_BYTES];
static unsigned in_head, in_tail, out_length;
static uint64_t in_due_us;
static struct outputs seen;
static int pty_master = -1;

/* --- what the target tells --- */

void bench_saw(const struct outputs *now, uint64_t us) {
    unsigned long long at = us;
    for (int c = 0; c < TARGET_CHANNELS; c++) {
        for (int relay = 1; relay < TARGET_RELAYS; relay++) {
            int is_closed = (now->relays[c] >> relay) & 1;
            if (is_closed != ((seen.relays[c] >> relay) & 1)) printf("relay %d %d %d %llu\n", c, relay, is_closed, at);
        }
        if (now->lamps[c] != seen.lamps[c]) printf("lamp %d %d %llu\n", c, now->lamps[c], at);
    }
    if (now->buzzer != seen.buzzer) printf("buzzer %d %llu\n", now->buzzer, at);
    seen = *now;
}

void bench_sent(uint8_t byte) {
    if (out_length < QUEUE_BYTES) out[out_length++] = byte;
}

static void flush_out(void) {
    if (out_length == 0) return;
    if (pty_master >= 0) {
        ssize_t sent = write(pty_master, out, out_length); /* a host that does not read loses bytes, as on a wire */
        (void)sent;
    } else {
        fputs("tx ", stdout);
        for (unsigned i = 0; i < out_length; i++) printf("%02x", out[i]);
        putchar('\n');
    }
    out_length = 0;
}

/* --- time --- */

static uint64_t next_due(uint64_t end_us) {
    uint64_t due_us = end_us;
    if (events_count > 0 && events[events_first].at_us < due_us) due_us = events[events_first].at_us;
    if (in_tail != in_head && in_due_us < due_us) due_us = in_due_us;
    return due_us;
}

static void run_to(uint64_t end_us) {
    while (target_now_us() < end_us) {
        target_run_to(next_due(end_us));
        while (events_count > 0 && events[events_first].at_us <= target_now_us()) {
            const struct event *event = &events[events_first];
            target_reader(event->reader, event->line, event->level);
            events_first = (events_first + 1) % EVENTS;
            events_count--;
        }
        if (in_tail != in_head && in_due_us <= target_now_us()) {
            if (target_uart_in(in[in_tail])) in_tail = (in_tail + 1) % QUEUE_BYTES;
            in_due_us = target_now_us() + BYTE_US;
        }
    }
}

static void schedule(uint64_t at_us, int reader, int line, int level) {
    if (events_count == EVENTS) {
        fprintf(stderr, "the bench's schedule is full\n");
        exit(1);
    }
    int at = events_count++;
    for (; at > 0 && events[(events_first + at - 1) % EVENTS].at_us > at_us; at--) {
        events[(events_first + at) % EVENTS] = events[(events_first + at - 1) % EVENTS];
    }
    events[(events_first + at) % EVENTS] = (struct event){at_us, (uint8_t)reader, (uint8_t)line, (uint8_t)level};
}

static void take_from_host(const uint8_t *bytes, size_t count) {
    if (in_tail == in_head && in_due_us < target_now_us()) in_due_us = target_now_us();
    for (size_t i = 0; i < count; i++) {
        in[in_head] = bytes[i];
        in_head = (in_head + 1) % QUEUE_BYTES;
    }
}

/* --- commands --- */

static bool from_hex(const char *text, uint8_t *bytes, size_t *count) {
    for (*count = 0; text[0] && text[1]; text += 2, (*count)++) {
        unsigned value;
        if (sscanf(text, "%2x", &value) != 1 || *count >= QUEUE_BYTES / 2) return false;
        bytes[*count] = (uint8_t)value;
    }
    return true;
}

static bool command_store(const char *verb, const char *rest) {
    int at, count;
    static char hex[2 * TARGET_STORE_BYTES + 1];
    static uint8_t bytes[QUEUE_BYTES];
    size_t length;
    if (!strcmp(verb, "peek") && sscanf(rest, "%d %d", &at, &count) == 2 && at + count <= TARGET_STORE_BYTES) {
        fputs("store ", stdout);
        for (int i = 0; i < count; i++) printf("%02x", target_store_read(at + i));
        putchar('\n');
        return true;
    }
    if (!strcmp(verb, "poke") && sscanf(rest, "%d %2048s", &at, hex) == 2 && from_hex(hex, bytes, &length)) {
        for (int i = 0; i < (int)length && at + i < TARGET_STORE_BYTES; i++) target_store_write(at + i, bytes[i]);
        return true;
    }
    return false;
}

static bool command_reader(const char *verb, const char *rest) {
    int reader, line, width, period, level;
    char bits[256];
    uint64_t now_us = target_now_us();
    if (!strcmp(verb, "card") && sscanf(rest, "%d %255s %d %d", &reader, bits, &width, &period) == 4) {
        for (int i = 0; bits[i]; i++) {
            uint64_t at_us = now_us + (uint64_t)(i + 1) * (uint64_t)period;
            schedule(at_us, reader, bits[i] == '1', 0);
            schedule(at_us + (uint64_t)width, reader, bits[i] == '1', 1);
        }
        return true;
    }
    if (!strcmp(verb, "pulse") && sscanf(rest, "%d %d %d", &reader, &line, &width) == 3) {
        schedule(now_us + 1, reader, line, 0);
        schedule(now_us + 1 + (uint64_t)width, reader, line, 1);
        return true;
    }
    if (!strcmp(verb, "level") && sscanf(rest, "%d %d %d", &reader, &line, &level) == 3) {
        target_reader(reader, line, level != 0);
        return true;
    }
    return false;
}

static bool command(char *text) {
    static uint8_t bytes[QUEUE_BYTES];
    char verb[16] = "";
    int channel, input, value, used = 0;
    unsigned long us;
    size_t count;
    if (sscanf(text, "%15s %n", verb, &used) < 1) return false;
    const char *rest = text + used;
    if (!strcmp(verb, "step") && sscanf(rest, "%lu", &us) == 1) {
        run_to(target_now_us() + us);
    } else if (!strcmp(verb, "contact") && sscanf(rest, "%d %d %d", &channel, &input, &value) == 3) {
        target_contact(channel, input, value != 0);
    } else if (!strcmp(verb, "line") && sscanf(rest, "%d %d", &input, &value) == 2) {
        target_line(input, value);
    } else if (!strcmp(verb, "uart") && from_hex(rest, bytes, &count)) {
        take_from_host(bytes, count);
    } else if (!strcmp(verb, "reset") || !strcmp(verb, "cut")) {
        target_reset(verb[0] == 'c');
    } else if (!strcmp(verb, "hang")) {
        target_hang();
    } else if (!strcmp(verb, "untouched")) {
        printf("untouched %d\n", target_untouched());
    } else if (!strcmp(verb, "stick") && sscanf(rest, "%d %d %d", &channel, &input, &value) == 3) {
        return target_stick(channel, input, value);
    } else {
        return command_reader(verb, rest) || command_store(verb, rest);
    }
    return true;
}

static void obey(char *text) {
    bool is_done = command(text);
    flush_out();
    if (is_done) {
        printf("ok %llu\n", (unsigned long long)target_now_us());
    } else {
        printf("no such command: %s\n", text);
    }
    fflush(stdout);
}

/* --- with the wall clock --- */

static uint64_t wall_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static int open_port(int *slave) {
    struct termios raw;
    char path[128];
    if (openpty(&pty_master, slave, path, NULL, NULL) != 0) return -1;
    tcgetattr(*slave, &raw); /* the slave stays open and raw, or bytes are echoed before the host sets its side */
    cfmakeraw(&raw);
    tcsetattr(*slave, TCSANOW, &raw);
    fcntl(pty_master, F_SETFL, O_NONBLOCK);
    printf("pty %s\n", path);
    return 0;
}

/* Commands that have come in whole; false at end of file. */
static bool read_commands(void) {
    static char pending[QUEUE_BYTES];
    static size_t length;
    ssize_t got = read(STDIN_FILENO, pending + length, sizeof pending - length - 1);
    if (got <= 0) return false;
    length += (size_t)got;
    for (char *end; (end = memchr(pending, '\n', length)) != NULL;) {
        *end = 0;
        obey(pending);
        length -= (size_t)(end + 1 - pending);
        memmove(pending, end + 1, length);
    }
    return true;
}

static int live(void) {
    int slave;
    if (open_port(&slave) != 0) return 1;
    fflush(stdout);
    uint64_t wall_start_us = wall_us() - target_now_us();
    for (;;) {
        struct pollfd ready[2] = {{STDIN_FILENO, POLLIN, 0}, {pty_master, POLLIN, 0}};
        struct timespec wait = {0, 300000};
        uint8_t bytes[512];
        ppoll(ready, 2, &wait, NULL);
        if (ready[0].revents && !read_commands()) return 0;
        if (ready[1].revents & POLLIN) {
            ssize_t got = read(pty_master, bytes, sizeof bytes);
            if (got > 0) take_from_host(bytes, (size_t)got);
        }
        uint64_t due_us = wall_us() - wall_start_us;
        if (due_us > target_now_us() + LAG_MAX_US) {
            wall_start_us += due_us - target_now_us() - LAG_MAX_US;
            due_us = target_now_us() + LAG_MAX_US;
        }
        run_to(due_us);
        flush_out();
        fflush(stdout);
    }
}

int main(int count, char **words) {
    bool is_live = count > 1 && !strcmp(words[count - 1], "--pty");
    char text[QUEUE_BYTES];
    target_init(count > 1 && words[1][0] != '-' ? words[1] : NULL);
    if (is_live) return live();
    while (fgets(text, sizeof text, stdin) != NULL) {
        text[strcspn(text, "\n")] = 0;
        obey(text);
    }
    return 0;
}
