/* A shared library for tests: the C side's frames, to be compared with the Python side's. */
#include <string.h>

#include "frame.h"

static struct deframer deframer;

void filter_reset(void) { memset(&deframer, 0, sizeof deframer); }

unsigned filter_bad_frames(void) { return deframer.bad_frames; }

/* Feed bytes; writes every message that was understood, encoded anew, to `out` and returns how many bytes that are. */
unsigned filter_feed(const uint8_t *bytes, unsigned count, uint8_t *out) {
    unsigned length = 0;
    for (unsigned i = 0; i < count; i++) {
        struct frame frame;
        uint8_t fields[LINK_MAX_FIELDS_BYTES];
        if (!deframer_take(&deframer, bytes[i], &frame)) continue;
        int16_t size = message_transcode(frame.id, frame.fields, frame.length, fields);
        if (size >= 0) length += frame_encode(frame.id, frame.seq, fields, (uint8_t)size, out + length);
    }
    return length;
}
