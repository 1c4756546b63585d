/* GENERATED from firmware_bridge/protocol.toml by scripts/gen_protocol.py: do not edit. */
#include "protocol_ids.h"

static uint16_t get_u16(const uint8_t *at) { return (uint16_t)(((uint16_t)at[0] << 8) | at[1]); }

static uint32_t get_u32(const uint8_t *at) { return ((uint32_t)get_u16(at) << 16) | get_u16(at + 2); }

static uint8_t *put_u8(uint8_t *at, uint8_t value) {
    *at = value;
    return at + 1;
}

static uint8_t *put_u16(uint8_t *at, uint16_t value) {
    return put_u8(put_u8(at, (uint8_t)(value >> 8)), (uint8_t)value);
}

static uint8_t *put_u32(uint8_t *at, uint32_t value) {
    return put_u16(put_u16(at, (uint16_t)(value >> 16)), (uint16_t)value);
}

static uint8_t *put_text(uint8_t *at, const struct wire_text *text) {
    at = put_u8(at, text->length);
    for (uint8_t i = 0; i < text->length; i++) at = put_u8(at, text->at[i]);
    return at;
}

bool hello_decode(struct hello *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 4) return false;
    message->schema_hash = get_u32(fields);
    fields += 4;
    if (end - fields < 2) return false;
    message->session = get_u16(fields);
    fields += 2;
    if (end - fields < 1 || end - fields < 1 + fields[0]) return false;
    message->version.length = fields[0];
    message->version.at = fields + 1;
    fields += 1 + fields[0];
    return fields == end;
}

uint8_t hello_encode(const struct hello *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u32(at, message->schema_hash);
    at = put_u16(at, message->session);
    at = put_text(at, &message->version);
    return (uint8_t)(at - fields);
}

bool lane_config_decode(struct lane_config *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->channel = fields[0];
    fields += 1;
    if (end - fields < 1) return false;
    message->on_host_loss = fields[0];
    fields += 1;
    if (message->on_host_loss > 2) return false;
    return fields == end;
}

uint8_t lane_config_encode(const struct lane_config *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->channel);
    at = put_u8(at, message->on_host_loss);
    return (uint8_t)(at - fields);
}

bool pulse_decode(struct pulse *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->channel = fields[0];
    fields += 1;
    if (end - fields < 1) return false;
    message->relay = fields[0];
    fields += 1;
    if (message->relay < 1 || message->relay > 3) return false;
    if (end - fields < 2) return false;
    message->pulse_ms = get_u16(fields);
    fields += 2;
    return fields == end;
}

uint8_t pulse_encode(const struct pulse *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->channel);
    at = put_u8(at, message->relay);
    at = put_u16(at, message->pulse_ms);
    return (uint8_t)(at - fields);
}

bool indicate_decode(struct indicate *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->channel = fields[0];
    fields += 1;
    if (end - fields < 1) return false;
    message->lamp = fields[0];
    fields += 1;
    if (message->lamp > 3) return false;
    if (end - fields < 2) return false;
    message->reason = get_u16(fields);
    fields += 2;
    return fields == end;
}

uint8_t indicate_encode(const struct indicate *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->channel);
    at = put_u8(at, message->lamp);
    at = put_u16(at, message->reason);
    return (uint8_t)(at - fields);
}

bool release_fire_decode(struct release_fire *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->channel = fields[0];
    fields += 1;
    return fields == end;
}

uint8_t release_fire_encode(const struct release_fire *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->channel);
    return (uint8_t)(at - fields);
}

bool welcome_decode(struct welcome *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 4) return false;
    message->schema_hash = get_u32(fields);
    fields += 4;
    if (end - fields < 2) return false;
    message->session = get_u16(fields);
    fields += 2;
    if (end - fields < 2) return false;
    message->boot_id = get_u16(fields);
    fields += 2;
    if (end - fields < 1 || end - fields < 1 + fields[0]) return false;
    message->firmware.length = fields[0];
    message->firmware.at = fields + 1;
    fields += 1 + fields[0];
    if (end - fields < 1 || end - fields < 1 + fields[0]) return false;
    message->board.length = fields[0];
    message->board.at = fields + 1;
    fields += 1 + fields[0];
    return fields == end;
}

uint8_t welcome_encode(const struct welcome *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u32(at, message->schema_hash);
    at = put_u16(at, message->session);
    at = put_u16(at, message->boot_id);
    at = put_text(at, &message->firmware);
    at = put_text(at, &message->board);
    return (uint8_t)(at - fields);
}

bool alive_decode(struct alive *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 2) return false;
    message->session = get_u16(fields);
    fields += 2;
    if (end - fields < 1) return false;
    message->is_lease_held = fields[0] != 0;
    fields += 1;
    if (end - fields < 4) return false;
    message->uptime_ms = get_u32(fields);
    fields += 4;
    return fields == end;
}

uint8_t alive_encode(const struct alive *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u16(at, message->session);
    at = put_u8(at, message->is_lease_held);
    at = put_u32(at, message->uptime_ms);
    return (uint8_t)(at - fields);
}

bool card_read_decode(struct card_read *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->reader = fields[0];
    fields += 1;
    if (end - fields < 1) return false;
    message->bits = fields[0];
    fields += 1;
    if (end - fields < 1 || end - fields < 1 + fields[0]) return false;
    message->data.length = fields[0];
    message->data.at = fields + 1;
    fields += 1 + fields[0];
    if (end - fields < 4) return false;
    message->tick_us = get_u32(fields);
    fields += 4;
    return fields == end;
}

uint8_t card_read_encode(const struct card_read *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->reader);
    at = put_u8(at, message->bits);
    at = put_text(at, &message->data);
    at = put_u32(at, message->tick_us);
    return (uint8_t)(at - fields);
}

bool key_pressed_decode(struct key_pressed *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->reader = fields[0];
    fields += 1;
    if (end - fields < 1) return false;
    message->key = fields[0];
    fields += 1;
    if (end - fields < 4) return false;
    message->tick_us = get_u32(fields);
    fields += 4;
    return fields == end;
}

uint8_t key_pressed_encode(const struct key_pressed *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->reader);
    at = put_u8(at, message->key);
    at = put_u32(at, message->tick_us);
    return (uint8_t)(at - fields);
}

bool input_edge_decode(struct input_edge *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->channel = fields[0];
    fields += 1;
    if (end - fields < 1) return false;
    message->input = fields[0];
    fields += 1;
    if (message->input > 11) return false;
    if (end - fields < 1) return false;
    message->is_active = fields[0] != 0;
    fields += 1;
    if (end - fields < 4) return false;
    message->tick_us = get_u32(fields);
    fields += 4;
    return fields == end;
}

uint8_t input_edge_encode(const struct input_edge *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->channel);
    at = put_u8(at, message->input);
    at = put_u8(at, message->is_active);
    at = put_u32(at, message->tick_us);
    return (uint8_t)(at - fields);
}

bool input_snapshot_decode(struct input_snapshot *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->channel = fields[0];
    fields += 1;
    if (end - fields < 2) return false;
    message->wired = get_u16(fields);
    fields += 2;
    if (end - fields < 2) return false;
    message->active = get_u16(fields);
    fields += 2;
    return fields == end;
}

uint8_t input_snapshot_encode(const struct input_snapshot *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->channel);
    at = put_u16(at, message->wired);
    at = put_u16(at, message->active);
    return (uint8_t)(at - fields);
}

bool pulse_result_decode(struct pulse_result *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->channel = fields[0];
    fields += 1;
    if (end - fields < 1) return false;
    message->relay = fields[0];
    fields += 1;
    if (message->relay < 1 || message->relay > 3) return false;
    if (end - fields < 1) return false;
    message->outcome = fields[0];
    fields += 1;
    if (message->outcome > 6) return false;
    return fields == end;
}

uint8_t pulse_result_encode(const struct pulse_result *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->channel);
    at = put_u8(at, message->relay);
    at = put_u8(at, message->outcome);
    return (uint8_t)(at - fields);
}

bool relay_count_decode(struct relay_count *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->channel = fields[0];
    fields += 1;
    if (end - fields < 4) return false;
    message->opens = get_u32(fields);
    fields += 4;
    if (end - fields < 4) return false;
    message->local_opens = get_u32(fields);
    fields += 4;
    return fields == end;
}

uint8_t relay_count_encode(const struct relay_count *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->channel);
    at = put_u32(at, message->opens);
    at = put_u32(at, message->local_opens);
    return (uint8_t)(at - fields);
}

bool fault_decode(struct fault *message, const uint8_t *fields, uint8_t length) {
    const uint8_t *end = fields + length;
    if (end - fields < 1) return false;
    message->channel = fields[0];
    fields += 1;
    if (end - fields < 1) return false;
    message->code = fields[0];
    fields += 1;
    if (message->code < 1 || message->code > 6) return false;
    if (end - fields < 1) return false;
    message->is_active = fields[0] != 0;
    fields += 1;
    return fields == end;
}

uint8_t fault_encode(const struct fault *message, uint8_t *fields) {
    uint8_t *at = fields;
    at = put_u8(at, message->channel);
    at = put_u8(at, message->code);
    at = put_u8(at, message->is_active);
    return (uint8_t)(at - fields);
}

int16_t message_transcode(uint8_t id, const uint8_t *fields, uint8_t length, uint8_t *out) {
    switch (id) {
    case MSG_ACK:
        return length == 0 ? 0 : -1;
    case MSG_HELLO: {
        struct hello message;
        return hello_decode(&message, fields, length) ? hello_encode(&message, out) : -1;
    }
    case MSG_HEARTBEAT:
        return length == 0 ? 0 : -1;
    case MSG_LANE_CONFIG: {
        struct lane_config message;
        return lane_config_decode(&message, fields, length) ? lane_config_encode(&message, out) : -1;
    }
    case MSG_PULSE: {
        struct pulse message;
        return pulse_decode(&message, fields, length) ? pulse_encode(&message, out) : -1;
    }
    case MSG_INDICATE: {
        struct indicate message;
        return indicate_decode(&message, fields, length) ? indicate_encode(&message, out) : -1;
    }
    case MSG_SNAPSHOT_REQUEST:
        return length == 0 ? 0 : -1;
    case MSG_RELEASE_FIRE: {
        struct release_fire message;
        return release_fire_decode(&message, fields, length) ? release_fire_encode(&message, out) : -1;
    }
    case MSG_WELCOME: {
        struct welcome message;
        return welcome_decode(&message, fields, length) ? welcome_encode(&message, out) : -1;
    }
    case MSG_ALIVE: {
        struct alive message;
        return alive_decode(&message, fields, length) ? alive_encode(&message, out) : -1;
    }
    case MSG_CARD_READ: {
        struct card_read message;
        return card_read_decode(&message, fields, length) ? card_read_encode(&message, out) : -1;
    }
    case MSG_KEY_PRESSED: {
        struct key_pressed message;
        return key_pressed_decode(&message, fields, length) ? key_pressed_encode(&message, out) : -1;
    }
    case MSG_INPUT_EDGE: {
        struct input_edge message;
        return input_edge_decode(&message, fields, length) ? input_edge_encode(&message, out) : -1;
    }
    case MSG_INPUT_SNAPSHOT: {
        struct input_snapshot message;
        return input_snapshot_decode(&message, fields, length) ? input_snapshot_encode(&message, out) : -1;
    }
    case MSG_PULSE_RESULT: {
        struct pulse_result message;
        return pulse_result_decode(&message, fields, length) ? pulse_result_encode(&message, out) : -1;
    }
    case MSG_RELAY_COUNT: {
        struct relay_count message;
        return relay_count_decode(&message, fields, length) ? relay_count_encode(&message, out) : -1;
    }
    case MSG_FAULT: {
        struct fault message;
        return fault_decode(&message, fields, length) ? fault_encode(&message, out) : -1;
    }
    default:
        return -1;
    }
}
