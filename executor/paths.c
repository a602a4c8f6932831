/*
 * Paths. Before `root` they are the host's; after it the kernel resolves them inside the working root, whatever
 * symbolic links the container's file system holds. No path is ever judged by its text.
 */
#include "executor.h"

#define RACES_LIMIT 128

/* How many missing parents and dangling links may lie on the way to a path that is made. */
#define DETOURS_LIMIT 64

/* Opens `path` inside the working root, with O_* `flags`, close-on-exec, and RESOLVE_* flags beyond the usual ones. */
static int open_in_root(const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = resolve | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = -EAGAIN;

	/* KERNEL: a rename anywhere while ".." is resolved makes openat2() ask for another try. */
	for (int i = 0; i < RACES_LIMIT && fd == -EAGAIN; i++)
		fd = SYS(openat2, self.root, path, &how, sizeof(how));
	return fd;
}

/* Opens `path` with O_* `flags`, close-on-exec; inside the working root when there is one. */
int open_path(const char *path, uint64_t flags)
{
	if (self.root < 0)
		return SYS(openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
	return open_in_root(path, flags, 0);
}

/* As open_path(), in a working root only; -ELOOP when a symbolic link lies anywhere on the way. */
int open_path_without_links(const char *path, uint64_t flags)
{
	return self.root < 0 ? -EINVAL : open_in_root(path, flags, RESOLVE_NO_SYMLINKS);
}

/*
 * Splits `path`, copied to the PATH_BYTES of `buffer`, into the directory that holds it and its last component.
 * A path that ends in "." or ".." or nothing names no entry: -EINVAL.
 */
static int split_path(const char *path, char *buffer, const char **directory, const char **name)
{
	size_t end = strlen(path);
	size_t start;

	if (end >= PATH_BYTES)
		return -ENAMETOOLONG;
	memcpy(buffer, path, end + 1);
	while (end > 0 && buffer[end - 1] == '/')
		buffer[--end] = '\0';
	for (start = end; start > 0 && buffer[start - 1] != '/'; start--)
		;
	*name = buffer + start;
	if (start == end || is_dots(*name))
		return -EINVAL;
	*directory = start == 0 ? "." : start == 1 ? "/" : buffer;
	if (start > 1)
		buffer[start - 1] = '\0';
	return 0;
}

/* Opens the directory that holds `path` (O_PATH); `name`, its last component, stays valid until the next call. */
int open_parent(const char *path, const char **name)
{
	static char buffer[PATH_BYTES];
	const char *directory;

	TRY(split_path(path, buffer, &directory, name));
	return open_path(directory, O_PATH | O_DIRECTORY);
}

/* Remembers the times of the open directory `fd`, which stays the caller's; of none when it is -1. */
int keep_times(struct kept_times *kept, int fd)
{
	struct statx found;

	kept->fd = -1;
	if (fd < 0)
		return 0;
	TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_ATIME | STATX_MTIME, &found));
	kept->times[0] = (struct __kernel_timespec){ found.stx_atime.tv_sec, found.stx_atime.tv_nsec };
	kept->times[1] = (struct __kernel_timespec){ found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec };
	kept->fd = fd;
	return 0;
}

/* Sets the times that keep_times() found; passes `result` on unless that fails. */
int give_times_back(const struct kept_times *kept, int result)
{
	if (kept->fd < 0 || result < 0)
		return result;
	/* By name: on a descriptor of O_PATH itself the kernel sets no times. */
	TRY(SYS(utimensat, kept->fd, ".", kept->times, 0));
	return result;
}

/* Writes to `to` where the link `name` in `parent`, which is `directory`, leads; resolving it is the kernel's. */
static int follow_link(int parent, const char *directory, const char *name, char *to)
{
	size_t at = strlen(directory) + 1;
	int size = SYS(readlinkat, parent, name, to + at, PATH_BYTES - at);

	TRY(size);
	if (at + (size_t)size >= PATH_BYTES)
		return -ENAMETOOLONG;
	to[at + (size_t)size] = '\0';
	if (to[at] == '/') {
		memmove(to, to + at, (size_t)size + 1);
		return 0;
	}
	memcpy(to, directory, at - 1);
	to[at - 1] = '/';
	return 0;
}

/* Makes the entry `name` in `parent`, whose times stay as they are with `keep`. */
static int make_in(int parent, const char *name, uint32_t mode, bool keep)
{
	bool is_directory = (mode & S_IFMT) == S_IFDIR;
	struct kept_times kept;

	TRY(keep_times(&kept, keep ? parent : -1));
	return give_times_back(&kept, is_directory ? SYS(mkdirat, parent, name, mode & 07777)
						   : SYS(mknodat, parent, name, mode, 0));
}

/* make_path() after `detours` others; recursion is bounded by DETOURS_LIMIT. */
static int make_path_after(int detours, const char *path, uint32_t mode, bool keep)
{
	bool is_directory = (mode & S_IFMT) == S_IFDIR;
	char buffer[PATH_BYTES];
	char target[PATH_BYTES];
	const char *directory;
	const char *name;
	int result;
	int fd OWNED = open_path(path, is_directory ? O_PATH | O_DIRECTORY : O_PATH);

	if (fd != -ENOENT)
		return fd < 0 ? fd : 0;
	if (detours == DETOURS_LIMIT)
		return -ELOOP;
	TRY(split_path(path, buffer, &directory, &name));
	int parent OWNED = open_path(directory, O_PATH | O_DIRECTORY);
	if (parent == -ENOENT) {
		TRY(make_path_after(detours + 1, directory, S_IFDIR | 0755, keep));
		parent = open_path(directory, O_PATH | O_DIRECTORY);
	}
	TRY(parent);
	result = make_in(parent, name, mode, keep);
	if (result != -EEXIST)
		return result;
	/* A link to something missing. When it is no link, somebody else has just made it. */
	result = follow_link(parent, directory, name, target);
	if (result < 0 && result != -EINVAL)
		return result;
	return make_path_after(detours + 1, result == 0 ? target : path, mode, keep);
}

/*
 * Makes a directory or an empty regular file at `path` (`kind` is its S_IF*) with `mode`, and missing parents with 0755;
 * what exists is kept. Links to missing places are followed, as images have them (/etc/resolv.conf, /var/run).
 */
int make_path(const char *path, uint32_t kind, uint32_t mode)
{
	return make_path_after(0, path, kind | (mode & 07777), false);
}

/* As make_path(), and the directories in which something is made keep their times. */
int make_path_keeping_times(const char *path, uint32_t kind, uint32_t mode)
{
	return make_path_after(0, path, kind | (mode & 07777), true);
}

int op_ensure_directory(const struct op_ensure_directory *op)
{
	return make_path(op->path, S_IFDIR, op->mode);
}

int op_ensure_file(const struct op_ensure_file *op)
{
	return make_path(op->path, S_IFREG, op->mode);
}

/* Keeps what exists as `name` in `parent` when it is the same kind of node with the same number. */
static int check_node(int parent, const char *name, const struct op_make_node *op)
{
	struct statx found;

	TRY(SYS(statx, parent, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &found));
	if (((found.stx_mode ^ op->mode) & S_IFMT) != 0)
		return -EEXIST;
	if ((op->mode & S_IFMT) == S_IFIFO)
		return 0;
	return found.stx_rdev_major == op->major && found.stx_rdev_minor == op->minor ? 0 : -EEXIST;
}

int op_make_node(const struct op_make_node *op)
{
	const char *name;
	int parent OWNED = open_parent(op->path, &name);
	int result;

	TRY(parent);
	result = SYS(mknodat, parent, name, op->mode, device_number(op->major, op->minor));
	TRY(result == -EEXIST ? check_node(parent, name, op) : result);
	TRY(SYS(fchownat, parent, name, op->uid, op->gid, AT_SYMLINK_NOFOLLOW));
	/* After chown, which may clear mode bits. It is a node, as checked above, so there is no link to follow. */
	return SYS(fchmodat, parent, name, op->mode & 07777);
}

int op_make_symlink(const struct op_make_symlink *op)
{
	const char *name;
	int parent OWNED = open_parent(op->path, &name);
	int result;

	TRY(parent);
	result = SYS(symlinkat, op->target, parent, name);
	return result == -EEXIST ? 0 : result;
}

int op_require_symlink(const struct op_require_symlink *op)
{
	char found[PATH_BYTES];
	const char *name;
	int parent OWNED = open_parent(op->path, &name);
	int result;

	TRY(parent);
	result = SYS(symlinkat, op->target, parent, name);
	if (result != -EEXIST)
		return result;
	result = SYS(readlinkat, parent, name, found, sizeof(found));
	if (result < 0 || (size_t)result != strlen(op->target) || memcmp(found, op->target, (size_t)result) != 0)
		return -EEXIST;
	return 0;
}

int op_root(const struct op_root *op)
{
	int fd = SYS(openat, AT_FDCWD, op->path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	TRY(fd);
	close_fd(&self.root);
	self.root = fd;
	return 0;
}
