/* Programs as bytes: what may stand where, and the walk over records. */
#ifndef GANTRY_PROGRAM_H
#define GANTRY_PROGRAM_H

#include "ops.gen.h"

#define PROGRAM_LIMIT (4u << 20)
#define SECTION_LIMIT 16u
#define RECORD_LIMIT (1u << 20)
#define STREAM_RECORD_LIMIT (128u << 10)
#define HEADER_BYTES 32u
#define RECORD_HEADER_BYTES 8u

enum program_kind { KIND_WHOLE = 0, KIND_STREAM = 1 };
enum section_number { SECTION_MAIN = 0, SECTION_CLEANUP = 1, SECTION_CHILDREN = 2 };

struct program_header {
	char magic[8];
	uint32_t version;
	uint32_t kind;
	uint64_t size;
	uint32_t sections;
	uint32_t ops;
};

struct record_header {
	uint16_t code;
	uint16_t zero;
	uint32_t length;
};

struct section {
	uint32_t first;
	uint32_t count;
	/* Byte offset of its first record. */
	uint32_t offset;
};

struct program {
	uint8_t *bytes;
	uint32_t size;
	uint32_t section_count;
	struct section sections[SECTION_LIMIT];
};

/* Why a program was refused or ended: the `kind`, `index` and `value` of the report that says so. */
struct verdict {
	uint32_t kind;
	uint32_t index;
	uint32_t value;
};

bool header_is_good(const struct program_header *header);
bool decode_op(uint16_t code, struct reader *reader, union any_op *op);
bool check_program(struct program *program, struct verdict *verdict);
void run_stream(int fd, struct verdict *verdict);

#endif
