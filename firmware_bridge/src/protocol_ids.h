/* GENERATED from firmware_bridge/protocol.toml by scripts/gen_protocol.py: do not edit. */
#ifndef PROTOCOL_IDS_H
#define PROTOCOL_IDS_H

#include <stdbool.h>
#include <stdint.h>

#define SCHEMA_HASH 0xE801B46Eul
#define LINK_VERSION 1ul
#define LINK_BAUD 115200ul
#define LINK_MAX_FIELDS_BYTES 64ul
#define LINK_WINDOW 4ul
#define LINK_QUEUE_FRAMES 32ul
#define LINK_RESEND_MS 40ul
#define LINK_RESEND_MAX_MS 200ul
#define LINK_MAX_SENDS 9ul
#define LINK_HELLO_MS 250ul
#define LINK_ALIVE_MS 500ul
#define LINK_SILENCE_MS 2000ul
#define LIMIT_CHANNELS 4ul
#define LIMIT_PULSE_MIN_MS 50ul
#define LIMIT_PULSE_MAX_MS 2000ul
#define LIMIT_LEASE_MS 1000ul
#define LIMIT_LANE_RELEASE_MS 10000ul
#define LIMIT_INPUT_DEBOUNCE_MS 10ul
#define LIMIT_LOOP_CLEAR_MS 400ul
#define LIMIT_LOCAL_PULSE_MS 500ul

enum message_id {
    MSG_ACK = 0x7F,
    MSG_HELLO = 0x01,
    MSG_HEARTBEAT = 0x02,
    MSG_LANE_CONFIG = 0x10,
    MSG_PULSE = 0x11,
    MSG_INDICATE = 0x12,
    MSG_SNAPSHOT_REQUEST = 0x13,
    MSG_RELEASE_FIRE = 0x14,
    MSG_WELCOME = 0x81,
    MSG_ALIVE = 0x82,
    MSG_CARD_READ = 0x90,
    MSG_KEY_PRESSED = 0x91,
    MSG_INPUT_EDGE = 0x92,
    MSG_INPUT_SNAPSHOT = 0x93,
    MSG_PULSE_RESULT = 0x94,
    MSG_RELAY_COUNT = 0x95,
    MSG_FAULT = 0x96,
};

enum relay {
    RELAY_OPEN = 1,
    RELAY_CLOSE = 2,
    RELAY_STOP = 3,
};

enum lamp {
    LAMP_IDLE = 0,
    LAMP_GRANTED = 1,
    LAMP_DENIED = 2,
    LAMP_HELD = 3,
};

enum outcome {
    OUTCOME_STARTED = 0,
    OUTCOME_REFUSED_NO_LEASE = 1,
    OUTCOME_REFUSED_SAFETY_OCCUPIED = 2,
    OUTCOME_REFUSED_FIRE = 3,
    OUTCOME_REFUSED_RANGE = 4,
    OUTCOME_REFUSED_OPENING = 5,
    OUTCOME_REFUSED_STOPPING = 6,
};

enum on_host_loss {
    ON_HOST_LOSS_UNSET = 0,
    ON_HOST_LOSS_FAIL_SAFE = 1,
    ON_HOST_LOSS_FAIL_SECURE = 2,
};

enum input {
    INPUT_PRESENCE = 0,
    INPUT_SAFETY = 1,
    INPUT_EXIT = 2,
    INPUT_ARM_UP = 3,
    INPUT_ARM_DOWN = 4,
    INPUT_DOOR_OPEN = 5,
    INPUT_REX = 6,
    INPUT_FIRE = 7,
    INPUT_TAMPER = 8,
    INPUT_CALL = 9,
    INPUT_EMERGENCY_KEY = 10,
    INPUT_SAFETY_FAULT = 11,
};

enum fault_code {
    FAULT_CODE_SAFETY_LOOP_BROKEN = 1,
    FAULT_CODE_RELAY_STUCK = 2,
    FAULT_CODE_WATCHDOG_RESET = 3,
    FAULT_CODE_BROWN_OUT_RESET = 4,
    FAULT_CODE_STORE_BROKEN = 5,
    FAULT_CODE_FIRE_LINE_BROKEN = 6,
};

/* Bytes of a frame, or to be put into one; not terminated. */
struct wire_text {
    const uint8_t *at;
    uint8_t length;
};

/* First words of the host; fields never change their place, so that any two versions can refuse each other. */
struct hello {
    uint32_t schema_hash;
    uint16_t session;
    struct wire_text version;
};
bool hello_decode(struct hello *message, const uint8_t *fields, uint8_t length);
uint8_t hello_encode(const struct hello *message, uint8_t *fields);

/* What a lane does when its host is gone. */
struct lane_config {
    uint8_t channel;
    uint8_t on_host_loss;
};
bool lane_config_decode(struct lane_config *message, const uint8_t *fields, uint8_t length);
uint8_t lane_config_encode(const struct lane_config *message, uint8_t *fields);

/* Close a relay for pulse_ms; the bridge ends it. STOP goes before OPEN, OPEN before CLOSE; no STOP under fire. */
struct pulse {
    uint8_t channel;
    uint8_t relay;
    uint16_t pulse_ms;
};
bool pulse_decode(struct pulse *message, const uint8_t *fields, uint8_t length);
uint8_t pulse_encode(const struct pulse *message, uint8_t *fields);

/* Lamp and buzzer of a lane; `reason` lets a display or a voice choose its words. */
struct indicate {
    uint8_t channel;
    uint8_t lamp;
    uint16_t reason;
};
bool indicate_decode(struct indicate *message, const uint8_t *fields, uint8_t length);
uint8_t indicate_encode(const struct indicate *message, uint8_t *fields);

/* A named person ended the hold that fire began; heeded while the lease is held and the fire line is quiet. */
struct release_fire {
    uint8_t channel;
};
bool release_fire_decode(struct release_fire *message, const uint8_t *fields, uint8_t length);
uint8_t release_fire_encode(const struct release_fire *message, uint8_t *fields);

/* Answer to hello, also when the schema does not match; fields never change their place. */
struct welcome {
    uint32_t schema_hash;
    uint16_t session;
    uint16_t boot_id;
    struct wire_text firmware;
    struct wire_text board;
};
bool welcome_decode(struct welcome *message, const uint8_t *fields, uint8_t length);
uint8_t welcome_encode(const struct welcome *message, uint8_t *fields);

/* Each alive_ms and whenever the lease is gained or lost; session 0 = no host. */
struct alive {
    uint16_t session;
    bool is_lease_held;
    uint32_t uptime_ms;
};
bool alive_decode(struct alive *message, const uint8_t *fields, uint8_t length);
uint8_t alive_encode(const struct alive *message, uint8_t *fields);

/* One frame of a reader: `bits` bits, left-aligned in `data`. Which format they are is the host's to know. */
struct card_read {
    uint8_t reader;
    uint8_t bits;
    struct wire_text data;
    uint32_t tick_us;
};
bool card_read_decode(struct card_read *message, const uint8_t *fields, uint8_t length);
uint8_t card_read_encode(const struct card_read *message, uint8_t *fields);

/* One key of a keypad, as ASCII. */
struct key_pressed {
    uint8_t reader;
    uint8_t key;
    uint32_t tick_us;
};
bool key_pressed_decode(struct key_pressed *message, const uint8_t *fields, uint8_t length);
uint8_t key_pressed_encode(const struct key_pressed *message, uint8_t *fields);

/* A debounced input changed. True = occupied, up, open, pressed, alarmed; a cut safety or fire wire reads True. */
struct input_edge {
    uint8_t channel;
    uint8_t input;
    bool is_active;
    uint32_t tick_us;
};
bool input_edge_decode(struct input_edge *message, const uint8_t *fields, uint8_t length);
uint8_t input_edge_encode(const struct input_edge *message, uint8_t *fields);

/* All inputs of a channel; bit n is Input n. Only inputs in `wired` exist. */
struct input_snapshot {
    uint8_t channel;
    uint16_t wired;
    uint16_t active;
};
bool input_snapshot_decode(struct input_snapshot *message, const uint8_t *fields, uint8_t length);
uint8_t input_snapshot_encode(const struct input_snapshot *message, uint8_t *fields);

/* What became of a pulse. */
struct pulse_result {
    uint8_t channel;
    uint8_t relay;
    uint8_t outcome;
};
bool pulse_result_decode(struct pulse_result *message, const uint8_t *fields, uint8_t length);
uint8_t pulse_result_encode(const struct pulse_result *message, uint8_t *fields);

/* OPEN closings since the bridge was made: by the host's orders, and by the bridge (fire, exit, lost host). */
struct relay_count {
    uint8_t channel;
    uint32_t opens;
    uint32_t local_opens;
};
bool relay_count_decode(struct relay_count *message, const uint8_t *fields, uint8_t length);
uint8_t relay_count_encode(const struct relay_count *message, uint8_t *fields);

/* A fault began or ended. */
struct fault {
    uint8_t channel;
    uint8_t code;
    bool is_active;
};
bool fault_decode(struct fault *message, const uint8_t *fields, uint8_t length);
uint8_t fault_encode(const struct fault *message, uint8_t *fields);

/* `fields` of a message `id`, decoded and encoded again into `out`; -1 where they are no such message. */
int16_t message_transcode(uint8_t id, const uint8_t *fields, uint8_t length, uint8_t *out);

#endif
