#include "link.h"

#include <string.h>

#include "hal.h"
#include "version.h"

/* Names of 16 bytes fit: version.h and board.h say so. */
#define WELCOME_FIELDS_MAX (4 + 2 + 2 + 17 + 17)
#define SLOTS (LINK_QUEUE_FRAMES + LINK_WINDOW)
#define NAME_LENGTH(name) ((uint8_t)(sizeof(name) - 1))

struct slot {
    uint8_t id;
    uint8_t length;
    uint8_t fields[LINK_TELL_MAX];
};

/* A ring: the first `unacked` slots from `first` were sent, `to_send` of them are to go out (again). */
static struct slot slots[SLOTS];
static uint8_t first, count, unacked, to_resend;
static uint8_t last_acked, last_received;
static uint8_t sends;
static uint32_t due_ms;

static struct deframer deframer;
static uint16_t session;
static bool is_lease_held, has_ack_due, has_alive_due, has_welcome_due;
static uint16_t welcome_session;
static uint32_t now, start_ms, fed_ms, alive_due_ms;

static bool is_due(uint32_t at_ms) { return (int32_t)(now - at_ms) >= 0; }

static uint8_t seq_after(uint8_t seq, uint8_t steps) { return (uint8_t)((seq + steps - 1) % 255 + 1); }

static void reset_sequences(void) {
    first = count = unacked = to_resend = 0;
    last_acked = last_received = 0;
    has_ack_due = false;
}

static void end_session(void) {
    session = 0;
    is_lease_held = false;
    reset_sequences();
}

void link_init(uint32_t now_ms) {
    memset(&deframer, 0, sizeof deframer);
    end_session();
    has_welcome_due = false;
    has_alive_due = true;
    now = start_ms = fed_ms = alive_due_ms = now_ms;
}

bool link_is_lease_held(void) { return is_lease_held; }

uint32_t link_unfed_ms(void) { return now - fed_ms; }

void link_host_spoke(void) {
    if (!is_lease_held) fed_ms = now; /* the lease is fed by heartbeats alone */
}

/* --- what goes out: as much as the serial queue has room for, the rest at the next tick --- */

static bool send_frame(uint8_t id, uint8_t seq, const uint8_t *fields, uint8_t length) {
    uint8_t wire[FRAME_WIRE_MAX];
    if (hal_uart_room() < length + 7) return false;
    uint8_t bytes = frame_encode(id, seq, fields, length, wire);
    for (uint8_t i = 0; i < bytes; i++) hal_uart_put(wire[i]);
    return true;
}

_Static_assert(sizeof(FIRMWARE_VERSION) <= 17 && sizeof(BOARD_NAME) <= 17, "a name is too long for welcome");

static bool send_welcome(void) {
    uint8_t fields[WELCOME_FIELDS_MAX];
    const struct welcome words = {
        .schema_hash = SCHEMA_HASH,
        .session = welcome_session,
        .boot_id = hal_boot_id(),
        .firmware = {(const uint8_t *)FIRMWARE_VERSION, NAME_LENGTH(FIRMWARE_VERSION)},
        .board = {(const uint8_t *)BOARD_NAME, NAME_LENGTH(BOARD_NAME)},
    };
    return send_frame(MSG_WELCOME, 0, fields, welcome_encode(&words, fields));
}

static bool send_alive(void) {
    uint8_t fields[7];
    const struct alive words = {session, is_lease_held, now - start_ms};
    return send_frame(MSG_ALIVE, 0, fields, alive_encode(&words, fields));
}

static bool send_slot(uint8_t index) {
    const struct slot *slot = &slots[(first + index) % SLOTS];
    return send_frame(slot->id, seq_after(last_acked, index + 1), slot->fields, slot->length);
}

static void restart_timer(void) {
    sends = 1;
    due_ms = now + LINK_RESEND_MS;
}

static void pump(void) {
    if (has_welcome_due && send_welcome()) has_welcome_due = false;
    if (has_welcome_due) return; /* nothing of a session before its welcome */
    if (has_ack_due && send_frame(MSG_ACK, last_received, 0, 0)) has_ack_due = false;
    if (has_alive_due && send_alive()) {
        has_alive_due = false;
        alive_due_ms = now + LINK_ALIVE_MS;
    }
    while (to_resend < unacked && send_slot(to_resend)) to_resend++;
    while (to_resend == unacked && unacked < count && unacked < LINK_WINDOW && send_slot(unacked)) {
        if (unacked == 0) restart_timer();
        unacked++;
        to_resend++;
    }
}

bool link_tell(uint8_t id, const uint8_t *fields, uint8_t length) {
    if (session == 0) return false;
    if (count - unacked == LINK_QUEUE_FRAMES || length > LINK_TELL_MAX) {
        /* An edge is lost: the host must learn anew how everything stands. */
        end_session();
        has_alive_due = true;
        return false;
    }
    struct slot *slot = &slots[(first + count) % SLOTS];
    slot->id = id;
    slot->length = length;
    memcpy(slot->fields, fields, length);
    count++;
    pump();
    return true;
}

/* --- what comes in --- */

static void greeted(const struct frame *frame) {
    struct hello hello;
    if (!hello_decode(&hello, frame->fields, frame->length)) return;
    bool is_ours = hello.schema_hash == SCHEMA_HASH; /* safety: schema => bool is_ours = true; */
    if (!is_ours || hello.session != session) end_session(); /* safety: old session */
    if (is_ours && session == 0) {
        reset_sequences();
        session = hello.session;
    }
    welcome_session = hello.session;
    has_welcome_due = true;
}

static void fed(void) {
    if (session == 0) return; /* safety: heartbeat without a session */
    fed_ms = now;
    if (!is_lease_held) {
        is_lease_held = true;
        has_alive_due = true;
    }
}

static void acked(uint8_t seq) {
    for (uint8_t i = 0; i < unacked; i++) {
        if (seq_after(last_acked, i + 1) != seq) continue;
        first = (first + i + 1) % SLOTS;
        count -= i + 1;
        unacked -= i + 1;
        to_resend = to_resend > i + 1 ? to_resend - (i + 1) : 0;
        last_acked = seq;
        restart_timer();
        return;
    }
}

static bool is_order(const struct frame *frame) {
    uint8_t ignored[LINK_MAX_FIELDS_BYTES];
    if ((frame->id & 0xF0) != 0x10) return false; /* orders are 0x10 to 0x1F */
    if (message_transcode(frame->id, frame->fields, frame->length, ignored) < 0) return false;
    if (session == 0) return false; /* safety: order without a session */
    has_ack_due = true;
    if (frame->seq != seq_after(last_received, 1)) return false; /* safety: order heard twice */
    last_received = frame->seq;
    return true;
}

bool link_receive(struct frame *order) {
    uint8_t byte;
    while (hal_uart_get(&byte)) {
        if (!deframer_take(&deframer, byte, order)) continue;
        if (order->id == MSG_HELLO) greeted(order);
        if (order->id == MSG_HEARTBEAT && order->length == 0) fed();
        if (order->id == MSG_ACK && order->length == 0) acked(order->seq);
        if (is_order(order)) return true;
    }
    pump();
    return false;
}

static void resend(void) {
    if (unacked == 0 || !is_due(due_ms)) return;
    if (sends >= LINK_MAX_SENDS) {
        end_session();
        has_alive_due = true;
        return;
    }
    uint32_t wait_ms = LINK_RESEND_MS << sends;
    due_ms = now + (wait_ms < LINK_RESEND_MAX_MS ? wait_ms : LINK_RESEND_MAX_MS);
    sends++;
    to_resend = 0;
}

void link_tick(uint32_t now_ms) {
    now = now_ms;
    resend();
    if (is_lease_held && now - fed_ms > LIMIT_LEASE_MS) { /* safety: lease => if (false) { */
        is_lease_held = false;
        has_alive_due = true;
    }
    if (is_due(alive_due_ms)) has_alive_due = true;
    if (now - fed_ms > 0x40000000ul) fed_ms = now - 0x40000000ul; /* a host away for weeks stays away */
    pump();
}
