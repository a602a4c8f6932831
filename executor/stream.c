/*
 * Streamed programs: ops are decoded and run as they arrive. One fixed buffer holds what has been read and not yet been
 * used; whole records and whole chunks are taken from its front.
 */
#include "executor.h"

#define CHUNK_LIMIT (128u << 10)
#define CHUNK_HEADER_BYTES 16u
#define STREAM_BYTES (1u << 20)

struct chunk_header {
	uint64_t offset;
	uint32_t length;
	uint32_t zero;
};

static struct {
	int fd;
	/* Bytes from `at` to `end` are unread. */
	uint32_t at;
	uint32_t end;
	/* Where the buffer begins in the program. */
	uint64_t base;
	_Alignas(8) uint8_t bytes[STREAM_BYTES];
} in;

/* Records and chunks start at multiples of 8 and are one long, so what is moved to the front stays aligned. */
static void make_room(void)
{
	memmove(in.bytes, in.bytes + in.at, in.end - in.at);
	in.base += in.at;
	in.end -= in.at;
	in.at = 0;
}

/* Waits until `size` bytes, at most a chunk with its header, are there; -EPROTO at the end of input. */
static int need(uint32_t size)
{
	if (in.at == in.end)
		make_room();
	while (in.end - in.at < size) {
		int taken;

		if (in.at + size > sizeof(in.bytes))
			make_room();
		taken = SYS(read, in.fd, in.bytes + in.end, sizeof(in.bytes) - in.end);
		if (taken == -EINTR)
			continue;
		if (taken < 0)
			return taken;
		if (taken == 0)
			return -EPROTO;
		in.end += (uint32_t)taken;
	}
	return 0;
}

/* Says that the bytes at `at` of the buffer cannot be understood. */
static int refuse(struct verdict *verdict)
{
	verdict->kind = REPORT_MALFORMED;
	verdict->value = (uint32_t)(in.base + in.at);
	return -EPROTO;
}

/* Says that the current op has failed, when `result` is an error; passes it on. */
static int fail(struct verdict *verdict, int result)
{
	if (result < 0) {
		verdict->kind = REPORT_FAILED;
		verdict->value = (uint32_t)-result;
	}
	return result;
}

static bool is_zero(const uint8_t *bytes, uint32_t size)
{
	while (size > 0)
		if (bytes[--size] != 0)
			return false;
	return true;
}

/* Takes the chunks of a `file` of `size` bytes, up to the empty one that ends it. */
static int take_chunks(uint64_t size, struct verdict *verdict)
{
	struct chunk_header chunk;
	uint64_t end = 0;
	int result;

	for (;;) {
		uint32_t padded;

		result = need(CHUNK_HEADER_BYTES);
		if (result < 0)
			return fail(verdict, result);
		memcpy(&chunk, in.bytes + in.at, sizeof(chunk));
		if (chunk.zero != 0 || chunk.length > CHUNK_LIMIT)
			return refuse(verdict);
		if (chunk.length == 0)
			break;
		if (chunk.offset < end || chunk.offset > size || chunk.length > size - chunk.offset)
			return refuse(verdict);
		padded = (chunk.length + 7) & ~7u;
		result = need(CHUNK_HEADER_BYTES + padded);
		if (result < 0)
			return fail(verdict, result);
		if (!is_zero(in.bytes + in.at + CHUNK_HEADER_BYTES + chunk.length, padded - chunk.length))
			return refuse(verdict);
		result = file_chunk(chunk.offset, in.bytes + in.at + CHUNK_HEADER_BYTES, chunk.length);
		if (result < 0)
			return fail(verdict, result);
		end = chunk.offset + chunk.length;
		in.at += CHUNK_HEADER_BYTES + padded;
	}
	if (chunk.offset > size)
		return refuse(verdict);
	in.at += CHUNK_HEADER_BYTES;
	return fail(verdict, file_end());
}

/* Reads and runs the next record. `*ended` is set by `end`; the verdict is made when the result is an error. */
static int run_record(struct verdict *verdict, bool *ended)
{
	struct record_header header;
	struct reader reader = { .at = RECORD_HEADER_BYTES };
	union any_op op;
	int result = need(RECORD_HEADER_BYTES);

	if (result < 0)
		return fail(verdict, result);
	memcpy(&header, in.bytes + in.at, sizeof(header));
	if (header.zero != 0 || header.length % 8 != 0 || header.length < RECORD_HEADER_BYTES ||
	    header.length > STREAM_RECORD_LIMIT)
		return refuse(verdict);
	result = need(header.length);
	if (result < 0)
		return fail(verdict, result);
	reader.base = in.bytes + in.at;
	reader.length = header.length;
	if ((places_of(header.code) & IN_STREAM) == 0 || !decode_op(header.code, &reader, &op))
		return refuse(verdict);
	result = run_op(header.code, &op);
	if (result < 0)
		return fail(verdict, result);
	in.at += header.length;
	*ended = header.code == OP_END;
	return header.code == OP_FILE ? take_chunks(op.file_.size, verdict) : 0;
}

/* Runs the program on `fd`, whose header is read already, up to its end or its first failure. */
void run_stream(int fd, struct verdict *verdict)
{
	bool ended = false;

	in.fd = fd;
	in.at = 0;
	in.end = 0;
	in.base = HEADER_BYTES;
	/* A pipe can be told to hold more; of a socket only its other end can. */
	SYS(fcntl, fd, F_SETPIPE_SZ, STREAM_BYTES);
	for (verdict->index = 0; !ended; verdict->index++) {
		self.index = verdict->index;
		if (run_record(verdict, &ended) < 0)
			return;
	}
	verdict->kind = REPORT_FINISHED;
	verdict->value = 0;
	/* The writer closes its end after `end`; anything that comes instead does not belong to the program. */
	if (in.at != in.end || need(1) != -EPROTO)
		refuse(verdict);
}
