#ifndef VERSION_H
#define VERSION_H

/* Told in `welcome` and written into the image's manifest: major.minor.patch, at most 16 bytes. */
#define FIRMWARE_VERSION "1.0.0"

#endif
