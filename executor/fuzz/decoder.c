/*
 * The decoder under fuzzing: whole programs are checked, then decoded again as for a run; streams are read through a
 * real descriptor. Ops are not run: what would run them is replaced here.
 */
#include "executor.h"

struct executor self = { .control = -1, .outer_root = -1 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches every byte that a decoded list points to, so that the sanitizer sees a wrong pointer. */
static size_t walk(char **texts)
{
	size_t total = 0;

	for (; *texts != NULL; texts++)
		total += strlen(*texts);
	return total;
}

/* Stands in for dispatch.c: reads what the op of that code holds. */
int run_op(uint16_t code, const union any_op *op)
{
	volatile size_t seen = 0;

	if (code == OP_EXEC)
		seen += walk(op->exec_.candidates) + walk(op->exec_.argv) + walk(op->exec_.env);
	if (code == OP_CLEAR)
		seen += walk(op->clear_.keep);
	if (code == OP_MOUNT)
		seen += strlen(op->mount_.fstype) + strlen(op->mount_.source) + walk(op->mount_.options);
	if (code == OP_XATTR && op->xattr_.value.length > 0)
		seen += op->xattr_.value.bytes[0] + op->xattr_.value.bytes[op->xattr_.value.length - 1];
	return 0;
}

static uint64_t chunk_end;

/* Stands in for tree.c: chunks must rise and be readable to their last byte. */
int file_chunk(uint64_t offset, const uint8_t *data, uint32_t size)
{
	volatile uint8_t seen = data[0];

	if (size == 0 || offset < chunk_end)
		__builtin_trap();
	seen = data[size - 1];
	chunk_end = offset + size;
	return seen == 0 ? 0 : 0;
}

int file_end(void)
{
	chunk_end = 0;
	return 0;
}

/* Checks a whole program and decodes each record once more. */
static void whole(const uint8_t *data, size_t size)
{
	struct program program = { .size = (uint32_t)size };
	struct verdict verdict;

	/* Exactly as large as the program, so that a byte too far is seen. */
	program.bytes = __builtin_malloc(size);
	if (program.bytes == NULL)
		return;
	memcpy(program.bytes, data, size);
	if (check_program(&program, &verdict)) {
		uint32_t offset = HEADER_BYTES + program.section_count * 8;

		while (offset < program.size) {
			struct reader reader = { .base = program.bytes + offset,
						 .at = RECORD_HEADER_BYTES,
						 .decoded_before = true };
			struct record_header header;
			union any_op op;

			memcpy(&header, reader.base, sizeof(header));
			reader.length = header.length;
			/* What was accepted once must be accepted again: the second time there is nobody to refuse it. */
			if (!decode_op(header.code, &reader, &op))
				__builtin_trap();
			run_op(header.code, &op);
			offset += header.length;
		}
	} else if (verdict.kind != REPORT_MALFORMED || verdict.value > size) {
		__builtin_trap();
	}
	__builtin_free(program.bytes);
}

/* Reads `data` as what follows a stream's header. */
static void stream(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct verdict verdict = { 0 };

	if (fd < 0)
		fd = SYS(memfd_create, "stream", 0);
	chunk_end = 0;
	SYS(ftruncate, fd, 0);
	SYS(pwrite64, fd, data, size, 0);
	SYS(lseek, fd, 0, 0);
	run_stream(fd, &verdict);
	if (verdict.kind != REPORT_FINISHED && verdict.kind != REPORT_FAILED && verdict.kind != REPORT_MALFORMED)
		__builtin_trap();
}

/* The first byte chooses: even for a whole program, odd for a stream. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > PROGRAM_LIMIT)
		return 0;
	if (data[0] % 2 == 0)
		whole(data + 1, size - 1);
	else
		stream(data + 1, size - 1);
	return 0;
}
