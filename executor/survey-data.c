/*
 * What files hold: sent whole, or compared. Data is read through descriptors that were opened beneath the working root; a file that
 * has become something else, or shorter, is -EAGAIN.
 */
#include "survey.h"

#include <linux/fs.h>

#define PIECE_BYTES (64u << 10)

/* Opens the regular file `name` for reading, beneath the working root and without waiting; -EAGAIN when it is something else now. */
static int open_regular(const char *name, struct statx *found)
{
	int fd OWNED = open_path_without_links(name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
	int result = fd;

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -ENXIO)
		return -EAGAIN;
	TRY(fd);
	TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, found));
	if ((found->stx_mode & S_IFMT) != S_IFREG)
		return -EAGAIN;
	fd = -1;
	return result;
}

/* Writes `size` bytes of `fd` from `offset` on as one piece. -EAGAIN when they are no longer there. */
static int send_piece(int fd, uint64_t offset, uint32_t size)
{
	struct data_piece piece = { .offset = offset, .length = size };
	char *room = survey_room(sizeof(piece));

	if (room == NULL)
		return -EPIPE;
	memcpy(room, &piece, sizeof(piece));
	room = survey_room(size);
	if (room == NULL)
		return -EPIPE;
	while (size > 0) {
		int taken = SYS(pread64, fd, room, size, offset);

		TRY(taken);
		if (taken == 0)
			return -EAGAIN;
		room += taken;
		size -= (uint32_t)taken;
		offset += (uint32_t)taken;
	}
	return 0;
}

/* Writes what `fd` of `size` bytes holds, without its holes. */
static int send_data(int fd, uint64_t size)
{
	uint64_t offset = 0;

	while (offset < size) {
		int64_t data = size < PIECE_BYTES ? (int64_t)offset : SYS_LONG(lseek, fd, offset, SEEK_DATA);
		int64_t end = (int64_t)size;

		/* Nothing but a hole is left. */
		if (data == -ENXIO)
			break;
		if (data < 0)
			return (int)data;
		if (size >= PIECE_BYTES) {
			end = SYS_LONG(lseek, fd, data, SEEK_HOLE);
			if (end < 0)
				return (int)end;
			if ((uint64_t)end > size)
				end = (int64_t)size;
		}
		for (offset = (uint64_t)data; offset < (uint64_t)end;) {
			uint64_t left = (uint64_t)end - offset;
			uint32_t piece = left < PIECE_BYTES ? (uint32_t)left : PIECE_BYTES;

			TRY(send_piece(fd, offset, piece));
			offset += piece;
		}
	}
	return 0;
}

int op_send_file(const struct op_send_file *op)
{
	struct listed record = { .kind = DATA_BEGINS };
	struct statx found;
	char *last;
	int fd OWNED = open_regular(op->path, &found);

	TRY(fd);
	survey_begin();
	survey_describe(&record, &found);
	TRY(survey_put(&record, "", NULL));
	TRY(send_data(fd, found.stx_size));
	TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &found));
	last = survey_room(sizeof(struct data_piece));
	if (last == NULL)
		return -EPIPE;
	memset(last, 0, sizeof(struct data_piece));
	record.kind = DATA_ENDED;
	survey_describe(&record, &found);
	TRY(survey_put(&record, "", NULL));
	return survey_flush();
}

/* Reads up to PIECE_BYTES at `offset`, as much as there is. */
static int read_piece(int fd, char *piece, uint64_t offset)
{
	uint32_t size = 0;
	int taken;

	do {
		taken = SYS(pread64, fd, piece + size, PIECE_BYTES - size, offset + size);
		TRY(taken);
		size += (uint32_t)taken;
	} while (taken > 0 && size < PIECE_BYTES);
	return (int)size;
}

int op_compare_files(const struct op_compare_files *op)
{
	static char left[PIECE_BYTES];
	static char right[PIECE_BYTES];
	struct listed record = { .kind = COMPARED };
	struct statx found;
	uint64_t offset = 0;
	int size;
	int one OWNED = open_regular(op->left, &found);
	int two OWNED = one < 0 ? one : open_regular(op->right, &found);

	TRY(two);
	survey_begin();
	do {
		size = read_piece(one, left, offset);
		TRY(size);
		if (read_piece(two, right, offset) != size || memcmp(left, right, (size_t)size) != 0)
			record.status = 1;
		offset += PIECE_BYTES;
	} while (size == PIECE_BYTES && record.status == 0);
	TRY(survey_put(&record, "", NULL));
	return survey_flush();
}
