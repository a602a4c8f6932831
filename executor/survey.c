/*
 * Reading trees: what is there and what is in it, written to descriptor 1 as records (docs/program-format.md, "Records of trees").
 * Every path is resolved beneath the working root, through no symbolic link and across no mount, so it does not matter who changes
 * the tree meanwhile: what has changed is noticed (-EAGAIN) or told by the times in the records, never followed.
 */
#include "survey.h"

#define LEVELS 900
#define XATTR_BYTES 65536
#define OUT_BYTES (256u << 10)

/* Output that waits to be written; one record is put together at the end of it. */
static struct {
	uint32_t used;
	_Alignas(8) char bytes[OUT_BYTES];
} out;

/* Forgets what a failed op has left. */
void survey_begin(void)
{
	out.used = 0;
}

/* Writes what waits. */
int survey_flush(void)
{
	int result = write_standard(1, out.bytes, out.used);

	out.used = 0;
	return result;
}

/* Adds `size` bytes to the record that begins at `start`. -EFBIG when a record is longer than there is room. */
int survey_add(uint32_t *start, const void *bytes, size_t size)
{
	if (out.used + size > sizeof(out.bytes)) {
		uint32_t kept = out.used - *start;

		out.used = *start;
		TRY(survey_flush());
		memmove(out.bytes, out.bytes + *start, kept);
		out.used = kept;
		*start = 0;
	}
	if (out.used + size > sizeof(out.bytes))
		return -EFBIG;
	memcpy(out.bytes + out.used, bytes, size);
	out.used += (uint32_t)size;
	return 0;
}

/* Room for `size` bytes that the caller fills, right after what was added; NULL when writing fails. */
char *survey_room(uint32_t size)
{
	if (out.used + size > sizeof(out.bytes) && survey_flush() < 0)
		return NULL;
	out.used += size;
	return out.bytes + out.used - size;
}

/* Fills in what the kernel says of a file. */
void survey_describe(struct listed *record, const struct statx *found)
{
	record->mode = found->stx_mode;
	record->uid = found->stx_uid;
	record->gid = found->stx_gid;
	record->links = found->stx_nlink;
	record->node_major = found->stx_rdev_major;
	record->node_minor = found->stx_rdev_minor;
	record->device_major = found->stx_dev_major;
	record->device_minor = found->stx_dev_minor;
	record->size = found->stx_size;
	record->ino = found->stx_ino;
	record->modified_seconds = found->stx_mtime.tv_sec;
	record->modified_nanos = found->stx_mtime.tv_nsec;
	record->changed_seconds = found->stx_ctime.tv_sec;
	record->changed_nanos = found->stx_ctime.tv_nsec;
}

/* Adds the extended attributes of `name` in the current directory: lengths of name and value (4 bytes each), name, value. */
static int add_xattrs(uint32_t *start, const char *name)
{
	static char names[XATTR_BYTES];
	static char value[XATTR_BYTES];
	int size = SYS(llistxattr, name, names, sizeof(names));

	if (size == -EOPNOTSUPP)
		return 0;
	TRY(size);
	for (int at = 0; at < size; at += (int)strlen(names + at) + 1) {
		int length = SYS(lgetxattr, name, names + at, value, sizeof(value));
		uint32_t lengths[2] = { (uint32_t)strlen(names + at), (uint32_t)length };

		if (length == -ENODATA)
			continue;
		TRY(length);
		TRY(survey_add(start, lengths, sizeof(lengths)));
		TRY(survey_add(start, names + at, lengths[0]));
		TRY(survey_add(start, value, lengths[1]));
	}
	return 0;
}

/*
 * Writes the record `record`, of which kind and what survey_describe() fills are set, for `entry` in the current directory. It is
 * called `name` in the record.
 */
int survey_put(struct listed *record, const char *name, const char *entry)
{
	static const char zeros[8];
	char target[PATH_BYTES];
	uint32_t start = out.used;
	int size = 0;

	if ((record->mode & S_IFMT) == S_IFLNK && entry != NULL)
		size = SYS(readlinkat, AT_FDCWD, entry, target, sizeof(target));
	TRY(size);
	record->name_length = (uint16_t)strlen(name);
	record->target_length = (uint32_t)size;
	TRY(survey_add(&start, record, sizeof(*record)));
	TRY(survey_add(&start, name, record->name_length));
	TRY(survey_add(&start, target, record->target_length));
	record->length = out.used - start;
	if (entry != NULL)
		TRY(add_xattrs(&start, entry));
	record->xattrs_length = out.used - start - record->length;
	TRY(survey_add(&start, zeros, -(size_t)(out.used - start) & 7));
	record->length = out.used - start;
	memcpy(out.bytes + start, record, sizeof(*record));
	return 0;
}

/* One directory on the way down. */
struct level {
	struct directory directory;
	/* Where its path ends in `path`. */
	uint32_t path_length;
	struct statx_timestamp changed;
};

static struct level levels[LEVELS];
static char path[PATH_BYTES];

/* Lists the directory of `level`, which becomes the current one: a record of itself and one of each entry. */
static int list_entries(struct level *level)
{
	struct listed record = { .kind = LISTED_DIRECTORY };
	struct directory_entry *entry;
	struct statx found;
	int result;

	TRY(SYS(fchdir, level->directory.fd));
	TRY(SYS(statx, AT_FDCWD, ".", 0, STATX_BASIC_STATS, &found));
	level->changed = found.stx_ctime;
	begin_entries(&level->directory, level->directory.fd);
	survey_describe(&record, &found);
	TRY(survey_put(&record, path, "."));
	while ((entry = next_entry(&level->directory, &result)) != NULL) {
		result = SYS(statx, AT_FDCWD, entry->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &found);
		/* KERNEL: overlayfs shows names that it then denies, where a whiteout lies in a directory that is not merged. */
		if (result == -ENOENT)
			continue;
		TRY(result);
		record = (struct listed){ .kind = LISTED_ENTRY };
		survey_describe(&record, &found);
		result = survey_put(&record, entry->name, entry->name);
		if (result < 0)
			return result == -ENOENT ? -EAGAIN : result;
	}
	TRY(result);
	return SYS(lseek, level->directory.fd, 0, 0);
}

/* Enters the directory `name` of levels[depth - 1], or of the working root when `depth` is 0. Returns 1 when it is entered. */
static int enter(int depth, int directory, const char *name)
{
	struct level *level = &levels[depth];
	uint32_t before = depth == 0 ? 0 : levels[depth - 1].path_length;
	uint32_t slash = before > 0 ? 1 : 0;
	size_t size = strlen(name);
	int fd = directory;

	if (depth > 0) {
		fd = open_entry(directory, name, O_DIRECTORY);
		/* What is mounted there is not the tree's. */
		if (fd == -EXDEV)
			return 0;
		if (fd < 0)
			return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? -EAGAIN : fd;
		if (before + slash + size >= PATH_BYTES) {
			close_fd(&fd);
			return -ENAMETOOLONG;
		}
		if (slash != 0)
			path[before] = '/';
		memcpy(path + before + slash, name, size + 1);
	}
	level->directory.fd = fd;
	level->path_length = depth == 0 ? 0 : before + slash + (uint32_t)size;
	path[level->path_length] = '\0';
	TRY(list_entries(level));
	begin_entries(&level->directory, fd);
	return 1;
}

/* Checks that the directory of `level` is as it was when it was listed. */
static int check_unchanged(const struct level *level)
{
	struct statx found;

	TRY(SYS(statx, level->directory.fd, "", AT_EMPTY_PATH, STATX_CTIME, &found));
	return found.stx_ctime.tv_sec == level->changed.tv_sec && found.stx_ctime.tv_nsec == level->changed.tv_nsec ? 0 : -EAGAIN;
}

/* Lists all below the open directory `fd`, which is closed. */
static int list_all(int fd)
{
	int depth = 0;
	int result = enter(0, fd, "");

	while (result >= 0 && depth >= 0) {
		struct level *level = &levels[depth];
		struct directory_entry *entry = next_entry(&level->directory, &result);

		if (entry == NULL) {
			if (result >= 0)
				result = check_unchanged(level);
			if (result < 0)
				break;
			close_fd(&level->directory.fd);
			depth--;
			continue;
		}
		if (entry->type != ENTRY_DIRECTORY)
			continue;
		if (depth + 1 == LEVELS) {
			result = -ENAMETOOLONG;
			break;
		}
		levels[depth + 1].directory.fd = -1;
		result = enter(depth + 1, level->directory.fd, entry->name);
		/* A directory that could not be listed is closed below. */
		if (result != 0)
			depth++;
	}
	for (; depth >= 0; depth--)
		close_fd(&levels[depth].directory.fd);
	return result < 0 ? result : 0;
}

int op_list_tree(const struct op_list_tree *op)
{
	int outer OWNED = SYS(openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	int fd = outer < 0 ? outer : open_path_without_links(op->path, O_RDONLY | O_DIRECTORY);
	int result;

	TRY(fd);
	survey_begin();
	levels[0].directory.fd = -1;
	result = list_all(fd);
	TRY(SYS(fchdir, outer));
	return result < 0 ? result : survey_flush();
}

/* Opens the directory that holds `path` beneath the working root, through no link; `*name` is its last component. */
static int open_holder(const char *whole, const char **name)
{
	char holder[PATH_BYTES];
	size_t size = strlen(whole);
	size_t start = size;

	if (size >= sizeof(holder))
		return -ENAMETOOLONG;
	memcpy(holder, whole, size + 1);
	while (start > 0 && holder[start - 1] != '/')
		start--;
	*name = whole + start;
	if (start > 0)
		holder[start - 1] = '\0';
	return open_path_without_links(start > 1 ? holder : ".", O_PATH | O_DIRECTORY);
}

int op_list_entry(const struct op_list_entry *op)
{
	struct listed record = { .kind = LISTED_ENTRY };
	struct statx found;
	const char *name;
	int outer OWNED = SYS(openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	int holder OWNED = outer < 0 ? outer : open_holder(op->path, &name);
	int result = holder < 0 ? holder
				: SYS(statx, holder, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &found);

	TRY(outer);
	survey_begin();
	if (result == -ENOENT || result == -ENOTDIR || result == -ELOOP) {
		record.kind = LISTED_ABSENT;
		TRY(survey_put(&record, op->path, NULL));
		return survey_flush();
	}
	TRY(result);
	TRY(SYS(fchdir, holder));
	survey_describe(&record, &found);
	result = survey_put(&record, op->path, name);
	TRY(SYS(fchdir, outer));
	TRY(result);
	return survey_flush();
}

