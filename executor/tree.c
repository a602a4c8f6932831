/*
 * Trees: what a layer does to a directory. All run chrooted (dispatch.c), so a path leads nowhere else whatever links
 * the tree holds. Attributes are set in the order owner, mode, times: chown clears set-id bits, and everything sets times.
 */
#include "executor.h"

#define XATTR_LIST_BYTES (64u << 10)

/* The parent directory whose times are to be kept; `fd` is -1 when they are not. */
struct parent {
	int fd;
	struct __kernel_timespec times[2];
};

/* The `file` op that is under way: its record is gone when its data comes. */
static struct {
	int fd;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	struct __kernel_timespec time;
	uint64_t size;
	/* Where the last chunk ended. */
	uint64_t end;
	struct parent parent;
} file = { .fd = -1, .parent = { .fd = -1 } };

int op_enter_root(const struct op_enter_root *op)
{
	int outer;
	int result;

	if (self.outer_root >= 0)
		return -EBUSY;
	outer = SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (outer < 0)
		return outer;
	result = SYS(chdir, op->path);
	if (result == 0)
		result = SYS(chroot, ".");
	if (result < 0)
		SYS(close, outer);
	else
		self.outer_root = outer;
	return result;
}

int op_leave_root(const struct op_leave_root *op UNUSED)
{
	int result = SYS(fchdir, self.outer_root);

	if (result == 0)
		result = SYS(chroot, ".");
	if (result == 0)
		close_fd(&self.outer_root);
	return result;
}

/* Remembers the times of the directory that holds `path` when `keep` is set. Its links are followed, as for `path`. */
static int keep_parent(struct parent *parent, const char *path, uint32_t keep)
{
	struct statx found;
	const char *name;
	int holder;
	int result;

	parent->fd = -1;
	if (keep == 0)
		return 0;
	holder = open_parent(path, &name);
	if (holder < 0)
		return holder;
	/* A descriptor that utimensat() takes cannot be one of O_PATH. */
	parent->fd = SYS(openat, holder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	SYS(close, holder);
	if (parent->fd < 0)
		return parent->fd;
	result = SYS(statx, parent->fd, "", AT_EMPTY_PATH, STATX_ATIME | STATX_MTIME, &found);
	parent->times[0] = (struct __kernel_timespec){ found.stx_atime.tv_sec, found.stx_atime.tv_nsec };
	parent->times[1] = (struct __kernel_timespec){ found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec };
	if (result < 0)
		close_fd(&parent->fd);
	return result;
}

/* Gives the parent its times back and closes it; passes `result` on unless that fails. */
static int restore_parent(struct parent *parent, int result)
{
	if (parent->fd >= 0 && result == 0)
		result = SYS(utimensat, parent->fd, NULL, parent->times, 0);
	close_fd(&parent->fd);
	return result;
}

/* Sets both times of `path` in `directory`, or of the descriptor `directory` itself when `path` is NULL. */
static int set_times(int directory, const char *path, int64_t seconds, uint32_t nanos)
{
	struct __kernel_timespec times[2] = { { seconds, nanos }, { seconds, nanos } };

	return SYS(utimensat, directory, path, times, path == NULL ? 0 : AT_SYMLINK_NOFOLLOW);
}

/* Opens a new file at `path`, removing what is there. */
static int create_file(const char *path)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = SYS(openat, AT_FDCWD, path, flags, 0600);
	int result;

	if (fd != -EEXIST)
		return fd;
	result = remove_at(AT_FDCWD, path);
	return result < 0 ? result : SYS(openat, AT_FDCWD, path, flags, 0600);
}

/* Begins a file; its chunks and its end follow (stream.c). */
int op_file(const struct op_file *op)
{
	int result = keep_parent(&file.parent, op->path, op->keep_parent);

	if (result < 0)
		return result;
	file.fd = create_file(op->path);
	file.mode = op->mode;
	file.uid = op->uid;
	file.gid = op->gid;
	file.time = (struct __kernel_timespec){ op->seconds, op->nanos };
	file.size = op->size;
	file.end = 0;
	return file.fd < 0 ? restore_parent(&file.parent, file.fd) : 0;
}

/* Writes one chunk of the file under way. Chunks rise, do not overlap and lie within its size (stream.c has checked). */
int file_chunk(uint64_t offset, const uint8_t *data, uint32_t size)
{
	file.end = offset + size;
	while (size > 0) {
		int written = SYS(pwrite64, file.fd, data, size, offset);

		if (written < 0)
			return written;
		if (written == 0)
			return -EIO;
		data += written;
		offset += (uint32_t)written;
		size -= (uint32_t)written;
	}
	return 0;
}

/* Ends the file under way. */
int file_end(void)
{
	int result = 0;

	/* A hole at the end. */
	if (file.end != file.size)
		result = SYS(ftruncate, file.fd, file.size);
	if (result == 0)
		result = SYS(fchown, file.fd, file.uid, file.gid);
	if (result == 0)
		result = SYS(fchmod, file.fd, file.mode & 07777);
	if (result == 0)
		result = set_times(file.fd, NULL, file.time.tv_sec, (uint32_t)file.time.tv_nsec);
	close_fd(&file.fd);
	return restore_parent(&file.parent, result);
}

/* Makes the directory `path` unless it is one, removing anything else, and opens it. */
static int create_directory(const char *path)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int result = SYS(mkdirat, AT_FDCWD, path, 0700);
	int fd = result == 0 || result == -EEXIST ? SYS(openat, AT_FDCWD, path, flags, 0) : result;

	if (fd != -ENOTDIR && fd != -ELOOP)
		return fd;
	result = remove_at(AT_FDCWD, path);
	if (result == 0)
		result = SYS(mkdirat, AT_FDCWD, path, 0700);
	return result < 0 ? result : SYS(openat, AT_FDCWD, path, flags, 0);
}

int op_directory(const struct op_directory *op)
{
	struct parent parent;
	int result = keep_parent(&parent, op->path, op->keep_parent);
	int fd;

	if (result < 0)
		return result;
	fd = create_directory(op->path);
	result = fd < 0 ? fd : SYS(fchown, fd, op->uid, op->gid);
	if (result == 0)
		result = SYS(fchmod, fd, op->mode & 07777);
	if (result == 0)
		result = set_times(fd, NULL, op->seconds, op->nanos);
	close_fd(&fd);
	return restore_parent(&parent, result);
}

int op_symlink(const struct op_symlink *op)
{
	struct parent parent;
	int result = keep_parent(&parent, op->path, op->keep_parent);

	if (result < 0)
		return result;
	result = SYS(symlinkat, op->target, AT_FDCWD, op->path);
	if (result == -EEXIST) {
		result = remove_at(AT_FDCWD, op->path);
		if (result == 0)
			result = SYS(symlinkat, op->target, AT_FDCWD, op->path);
	}
	if (result == 0)
		result = SYS(fchownat, AT_FDCWD, op->path, op->uid, op->gid, AT_SYMLINK_NOFOLLOW);
	if (result == 0)
		result = set_times(AT_FDCWD, op->path, op->seconds, op->nanos);
	return restore_parent(&parent, result);
}

/* True when both paths name one file: a link to itself must not remove it first. */
static bool is_same_file(const char *a, const char *b)
{
	struct statx left;
	struct statx right;

	return SYS(statx, AT_FDCWD, a, AT_SYMLINK_NOFOLLOW, STATX_INO, &left) == 0 &&
	       SYS(statx, AT_FDCWD, b, AT_SYMLINK_NOFOLLOW, STATX_INO, &right) == 0 && left.stx_ino == right.stx_ino &&
	       left.stx_dev_major == right.stx_dev_major && left.stx_dev_minor == right.stx_dev_minor;
}

int op_hardlink(const struct op_hardlink *op)
{
	struct parent parent;
	int result = keep_parent(&parent, op->path, op->keep_parent);

	if (result < 0)
		return result;
	result = SYS(linkat, AT_FDCWD, op->target, AT_FDCWD, op->path, 0);
	if (result == -EEXIST && is_same_file(op->path, op->target)) {
		result = 0;
	} else if (result == -EEXIST) {
		result = remove_at(AT_FDCWD, op->path);
		if (result == 0)
			result = SYS(linkat, AT_FDCWD, op->target, AT_FDCWD, op->path, 0);
	}
	return restore_parent(&parent, result);
}

int op_node(const struct op_node *op)
{
	uint32_t device = device_number(op->major, op->minor);
	struct parent parent;
	int result = keep_parent(&parent, op->path, op->keep_parent);

	if (result < 0)
		return result;
	result = SYS(mknodat, AT_FDCWD, op->path, op->mode, device);
	if (result == -EEXIST) {
		result = remove_at(AT_FDCWD, op->path);
		if (result == 0)
			result = SYS(mknodat, AT_FDCWD, op->path, op->mode, device);
	}
	if (result == 0)
		result = SYS(fchownat, AT_FDCWD, op->path, op->uid, op->gid, AT_SYMLINK_NOFOLLOW);
	/* It was made a moment ago, so it is no link that could be followed. */
	if (result == 0)
		result = SYS(fchmodat, AT_FDCWD, op->path, op->mode & 07777);
	if (result == 0)
		result = set_times(AT_FDCWD, op->path, op->seconds, op->nanos);
	return restore_parent(&parent, result);
}

int op_xattr(const struct op_xattr *op)
{
	return SYS(lsetxattr, op->path, op->name, op->value.bytes, op->value.length, 0);
}

int op_clear_xattrs(const struct op_clear_xattrs *op)
{
	static char list[XATTR_LIST_BYTES];
	static const char overlay[] = "trusted.overlay.";
	int size = SYS(llistxattr, op->path, list, sizeof(list));

	if (size == -EOPNOTSUPP)
		return 0;
	for (int at = 0; at < size; at += (int)strlen(list + at) + 1) {
		const char *name = list + at;
		int result;

		if (same_text(name, "security.selinux") ||
		    (strlen(name) >= sizeof(overlay) && memcmp(name, overlay, sizeof(overlay) - 1) == 0))
			continue;
		result = SYS(lremovexattr, op->path, name);
		if (result < 0 && result != -ENODATA)
			return result;
	}
	return size < 0 ? size : 0;
}

int op_times(const struct op_times *op)
{
	return set_times(AT_FDCWD, op->path, op->seconds, op->nanos);
}

/* Removes the tree at `path`; one whose parent is missing is missing too. */
static int remove_path(const char *path)
{
	const char *name;
	int holder = open_parent(path, &name);
	int result;

	if (holder < 0)
		return holder == -ENOENT || holder == -ENOTDIR ? 0 : holder;
	result = remove_at(holder, name);
	SYS(close, holder);
	return result;
}

int op_remove(const struct op_remove *op)
{
	struct parent parent;
	int result = keep_parent(&parent, op->path, op->keep_parent);

	if (result == -ENOENT || result == -ENOTDIR)
		return 0;
	return result < 0 ? result : restore_parent(&parent, remove_path(op->path));
}

int op_clear(const struct op_clear *op)
{
	int fd = SYS(openat, AT_FDCWD, op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	int result;

	/* No directory, no children: a lower file or link there is replaced by the layer's own entry. */
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? 0 : fd;
	result = clear_directory(fd, op->keep);
	SYS(close, fd);
	return result;
}

int op_parents(const struct op_parents *op)
{
	return make_path(op->path, S_IFDIR, 0755);
}

int op_end(const struct op_end *op UNUSED)
{
	return 0;
}

int op_remove_tree(const struct op_remove_tree *op)
{
	return remove_path(op->path);
}
