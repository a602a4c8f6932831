/* Checks programs: all of a whole one, before its first op runs. It makes no system call. */
#include "program.h"
#include "report.h"

/* True when `header` begins a program of this version; its sizes are not looked at. */
bool header_is_good(const struct program_header *header)
{
	return memcmp(header->magic, "GNTRYPRG", sizeof(header->magic)) == 0 && header->version == FORMAT_VERSION &&
	       (header->kind == KIND_WHOLE || header->kind == KIND_STREAM);
}

/* Decodes the record of `reader`, whose header says `code`. False when the code is unknown or the body does not fit. */
bool decode_op(uint16_t code, struct reader *reader, union any_op *op)
{
	switch (code) {
#define DECODE(number, name) \
	case number:         \
		return decode_##name(reader, &op->name##_);
		GANTRY_OPS(DECODE)
#undef DECODE
	default:
		return false;
	}
}

static enum place place_of(uint32_t section)
{
	if (section == SECTION_MAIN)
		return IN_MAIN;
	return section == SECTION_CLEANUP ? IN_CLEANUP : IN_CHILD;
}

/* Checks the record at `offset`; 0 when it is refused, else the offset after it. `offset <= size`, both multiples of 8. */
static uint32_t check_record(const struct program *program, uint32_t offset, enum place place)
{
	struct record_header header;
	struct reader reader = { .base = program->bytes + offset, .at = RECORD_HEADER_BYTES };
	union any_op op;

	if (program->size - offset < sizeof(header))
		return 0;
	memcpy(&header, reader.base, sizeof(header));
	if (header.zero != 0 || header.length % 8 != 0 || header.length < RECORD_HEADER_BYTES ||
	    header.length > RECORD_LIMIT || header.length > program->size - offset)
		return 0;
	reader.length = header.length;
	if ((places_of(header.code) & place) == 0 || !decode_op(header.code, &reader, &op))
		return 0;
	if (header.code == OP_CLONE &&
	    (op.clone_.section < SECTION_CHILDREN || op.clone_.section >= program->section_count))
		return 0;
	return offset + header.length;
}

/* Reads the header and the section table. False when they lie; `bytes` has at least a header. */
static bool check_sections(struct program *program)
{
	struct program_header header;
	uint32_t next = 0;

	memcpy(&header, program->bytes, sizeof(header));
	if (!header_is_good(&header) || header.kind != KIND_WHOLE || header.size != program->size ||
	    header.size % 8 != 0 || header.sections < 1 || header.sections > SECTION_LIMIT ||
	    program->size - HEADER_BYTES < header.sections * 8)
		return false;
	program->section_count = header.sections;
	for (uint32_t i = 0; i < header.sections; i++) {
		struct section *section = &program->sections[i];

		memcpy(section, program->bytes + HEADER_BYTES + i * 8, 8);
		if (section->first != next || section->count > program->size / RECORD_HEADER_BYTES)
			return false;
		next += section->count;
	}
	return next == header.ops;
}

/*
 * Checks all of `program`, whose `bytes` (aligned to 8, writable) and `size` are set, and fills in its sections.
 * When it is refused, `verdict` says at which byte.
 */
bool check_program(struct program *program, struct verdict *verdict)
{
	uint32_t offset;
	uint32_t index = 0;

	*verdict = (struct verdict){ .kind = REPORT_MALFORMED };
	if (program->size < HEADER_BYTES || !check_sections(program))
		return false;
	offset = HEADER_BYTES + program->section_count * 8;
	for (uint32_t i = 0; i < program->section_count; i++) {
		program->sections[i].offset = offset;
		for (uint32_t n = 0; n < program->sections[i].count; n++, index++) {
			uint32_t next = check_record(program, offset, place_of(i));

			if (next == 0) {
				verdict->index = index;
				verdict->value = offset;
				return false;
			}
			offset = next;
		}
	}
	verdict->index = index;
	verdict->value = offset;
	return offset == program->size;
}
