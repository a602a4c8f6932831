/*
 * Copying a directory of an image into a new file system. Nothing is followed and no mount is crossed: a symbolic link is
 * copied as one, a mount point as an empty directory. The kernel opens each entry by its name in an open directory, so
 * it does not matter who changes the tree meanwhile.
 */
#include "executor.h"

#define DEPTH_LIMIT 128
#define XATTR_BYTES 65536

static int copy_entries(int from, int to, int depth);

/* Copies the extended attributes of an open file; those that the new file system does not have are left. */
static int copy_xattrs(int from, int to)
{
	static char names[XATTR_BYTES];
	static char value[XATTR_BYTES];
	int size = SYS(flistxattr, from, names, sizeof(names));

	if (size == -EOPNOTSUPP)
		return 0;
	TRY(size);
	for (int at = 0; at < size; at += (int)strlen(names + at) + 1) {
		int length = SYS(fgetxattr, from, names + at, value, sizeof(value));
		int result = length < 0 ? length : SYS(fsetxattr, to, names + at, value, length, 0);

		if (result < 0 && result != -EOPNOTSUPP && result != -ENODATA)
			return result;
	}
	return 0;
}

static void times_of(const struct statx *found, struct __kernel_timespec times[2])
{
	times[0] = (struct __kernel_timespec){ found->stx_atime.tv_sec, found->stx_atime.tv_nsec };
	times[1] = (struct __kernel_timespec){ found->stx_mtime.tv_sec, found->stx_mtime.tv_nsec };
}

/* Gives the open `to` what `from`, of which `found` tells, has besides its content. */
static int copy_attributes(int from, int to, const struct statx *found)
{
	struct __kernel_timespec times[2];

	/* The owner first: a change of it takes capabilities and set-id bits away. */
	TRY(SYS(fchown, to, found->stx_uid, found->stx_gid));
	TRY(SYS(fchmod, to, found->stx_mode & 07777));
	TRY(copy_xattrs(from, to));
	times_of(found, times);
	return SYS(utimensat, to, NULL, times, 0);
}

static int copy_directory(int from, int to, const char *name, int depth)
{
	struct statx found;
	int source OWNED = open_entry(from, name, O_DIRECTORY);

	TRY(SYS(mkdirat, to, name, 0700));
	if (source == -EXDEV)
		return 0;
	TRY(source);
	TRY(SYS(statx, source, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &found));
	int target OWNED = open_entry(to, name, O_DIRECTORY);
	TRY(target);
	TRY(copy_entries(source, target, depth + 1));
	return copy_attributes(source, target, &found);
}

static int copy_file(int from, int to, const char *name)
{
	struct statx found;
	int source OWNED = open_entry(from, name, 0);
	int target OWNED = -1;
	int copied;

	/* A file that something is mounted over cannot be read; its place must be there all the same. */
	if (source < 0 && source != -EXDEV)
		return source;
	if (source >= 0) {
		TRY(SYS(statx, source, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &found));
		/* SECURITY: exchanged meanwhile for a device, it could be without an end. */
		if ((found.stx_mode & S_IFMT) != S_IFREG)
			return -EAGAIN;
	}
	target = SYS(openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	TRY(target);
	if (source == -EXDEV)
		return 0;
	do
		copied = SYS(sendfile, target, source, NULL, 1 << 20);
	while (copied > 0);
	TRY(copied);
	return copy_attributes(source, target, &found);
}

static int copy_link(int from, int to, const char *name)
{
	static char target[PATH_BYTES];
	int size = SYS(readlinkat, from, name, target, sizeof(target) - 1);

	TRY(size);
	target[size] = '\0';
	return SYS(symlinkat, target, to, name);
}

/* Copies the entry `name`, which is no "." or "..". */
static int copy_entry(int from, int to, const char *name, int depth)
{
	struct __kernel_timespec times[2];
	struct statx found;
	uint32_t kind;

	TRY(SYS(statx, from, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &found));
	kind = found.stx_mode & S_IFMT;
	if (kind == S_IFDIR)
		return copy_directory(from, to, name, depth);
	if (kind == S_IFREG)
		return copy_file(from, to, name);
	if (kind == S_IFLNK)
		TRY(copy_link(from, to, name));
	else
		TRY(SYS(mknodat, to, name, found.stx_mode, device_number(found.stx_rdev_major, found.stx_rdev_minor)));
	TRY(SYS(fchownat, to, name, found.stx_uid, found.stx_gid, AT_SYMLINK_NOFOLLOW));
	/* Nobody but us sees the new tree, so this is still what was made above. */
	if (kind != S_IFLNK)
		TRY(SYS(fchmodat, to, name, found.stx_mode & 07777));
	times_of(&found, times);
	return SYS(utimensat, to, name, times, AT_SYMLINK_NOFOLLOW);
}

/* Copies all entries of the directory `from` into the directory `to`; recursion is bounded by DEPTH_LIMIT. */
static int copy_entries(int from, int to, int depth)
{
	struct directory directory;
	struct directory_entry *entry;
	int result;

	if (depth == DEPTH_LIMIT)
		return -ELOOP;
	begin_entries(&directory, from);
	while ((entry = next_entry(&directory, &result)) != NULL)
		TRY(copy_entry(from, to, entry->name, depth));
	return result;
}

/* Opens the root of the mount in the slot for changes; the slot's own descriptor is of O_PATH. */
static int open_slot_root(uint32_t slot)
{
	int mount = find_slot(slot);

	return mount < 0 ? mount : SYS(openat, mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

int op_copy_up(const struct op_copy_up *op)
{
	struct statx found;
	int to OWNED = open_slot_root(op->slot);
	int from OWNED = to < 0 ? to : open_path(op->path, O_RDONLY | O_DIRECTORY);

	TRY(from);
	TRY(SYS(statx, from, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &found));
	TRY(copy_entries(from, to, 0));
	return op->itself == 0 ? 0 : copy_attributes(from, to, &found);
}

int op_copy_mode(const struct op_copy_mode *op)
{
	struct statx found;
	int to OWNED = open_slot_root(op->slot);
	int from OWNED = to < 0 ? to : open_path(op->path, O_PATH | O_DIRECTORY);

	if (from == -ENOENT || from == -ENOTDIR)
		return 0;
	TRY(from);
	TRY(SYS(statx, from, "", AT_EMPTY_PATH, STATX_MODE, &found));
	return SYS(fchmod, to, found.stx_mode & 07777);
}
