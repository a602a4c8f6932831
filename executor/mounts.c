/* Mounts: descriptors all the way, so that what was resolved is what is mounted on. */
#include "executor.h"

#define SETATTR_SIZE 32

/* After the pivot the container's root is this process's root too, so plain paths cannot leave it. */
static bool pivoted;

/* An empty read-only tmpfs that masked directories share; -1 until the first one. */
static int empty_mount = -1;

/* The container's /dev/null, checked; -1 until the first masked file. */
static int null_device = -1;

/* True for "/", "/." and the like: the place where the working root itself is. */
static bool names_root(const char *path)
{
	for (; *path != '\0'; path++)
		if (*path != '/' && !(*path == '.' && (path[1] == '/' || path[1] == '\0')))
			return false;
	return true;
}

/* Moves the detached mount `mount` onto the open `place`. */
static int move_onto(int mount, int place)
{
	return SYS(move_mount, mount, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* Moves the detached `mount` to `target` and closes it; also when it is an error. */
static int attach(int mount, const char *target)
{
	int place;
	int result;

	if (mount < 0)
		return mount;
	place = open_path(target, O_PATH);
	result = place < 0 ? place : move_onto(mount, place);
	close_fd(&place);
	/* Mounted over the working root, it is the working root: the handle would still be the one below. */
	if (result == 0 && self.root >= 0 && names_root(target)) {
		SYS(close, self.root);
		self.root = mount;
		return 0;
	}
	SYS(close, mount);
	return result;
}

/* Gives one `key` or `key=value` to the file system `context`; `option` is changed for the call alone. */
static int configure(int context, char *option)
{
	char *equals = option;
	int result;

	while (*equals != '\0' && *equals != '=')
		equals++;
	if (*equals == '\0')
		return SYS(fsconfig, context, FSCONFIG_SET_FLAG, option, NULL, 0);
	*equals = '\0';
	result = SYS(fsconfig, context, FSCONFIG_SET_STRING, option, equals + 1, 0);
	*equals = '=';
	return result;
}

/* A new detached mount, or -errno. */
static int new_mount(const char *fstype, const char *source, char **options, uint64_t attributes)
{
	int context = SYS(fsopen, fstype, FSOPEN_CLOEXEC);
	int result = 0;

	if (context < 0)
		return context;
	if (source[0] != '\0')
		result = SYS(fsconfig, context, FSCONFIG_SET_STRING, "source", source, 0);
	for (; result == 0 && *options != NULL; options++)
		result = configure(context, *options);
	if (result == 0)
		result = SYS(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (result == 0)
		result = SYS(fsmount, context, FSMOUNT_CLOEXEC, attributes);
	SYS(close, context);
	return result;
}

/* A detached clone of what is open as `fd`. */
static int clone_of(int fd, uint32_t flags)
{
	return SYS(open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
}

int op_mount(const struct op_mount *op)
{
	return attach(new_mount(op->fstype, op->source, op->options, op->attributes), op->target);
}

int op_mount_data(const struct op_mount_data *op)
{
	/* The target is a path, so it may only be one that no container has a hand in. */
	if (self.root >= 0)
		return -EINVAL;
	return SYS(mount, op->source, op->target, op->fstype, op->flags, op->data);
}

int op_bind(const struct op_bind *op)
{
	uint32_t flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;

	if (op->recursive != 0)
		flags |= AT_RECURSIVE;
	return attach(SYS(open_tree, AT_FDCWD, op->source, flags), op->target);
}

int op_mount_attributes(const struct op_mount_attributes *op)
{
	struct mount_attr attributes = { .attr_set = op->set, .attr_clr = op->clear, .propagation = op->propagation };
	uint32_t flags = AT_EMPTY_PATH | (op->recursive != 0 ? AT_RECURSIVE : 0u);
	int place = open_path(op->target, O_PATH);
	int result;

	if (place < 0)
		return place;
	result = SYS(mount_setattr, place, "", flags, &attributes, SETATTR_SIZE);
	SYS(close, place);
	return result;
}

int op_propagation(const struct op_propagation *op)
{
	struct op_mount_attributes change = {
		.target = op->path,
		.propagation = op->flags & ~(uint64_t)MS_REC,
		.recursive = (op->flags & MS_REC) != 0,
	};

	if (self.root < 0)
		return SYS(mount, NULL, op->path, NULL, op->flags, NULL);
	return op_mount_attributes(&change);
}

int op_rootfs_attributes(const struct op_rootfs_attributes *op)
{
	struct op_mount_attributes change = { .target = "/", .set = op->set };

	return op_mount_attributes(&change);
}

int op_unmount(const struct op_unmount *op)
{
	char link[32] = "/proc/self/fd/";
	int place;
	int result;

	if (self.root < 0 || pivoted)
		return SYS(umount2, op->target, op->flags);
	place = open_path(op->target, O_PATH);
	if (place < 0)
		return place;
	link[14 + format_decimal(link + 14, (uint32_t)place)] = '\0';
	/* The kernel takes no descriptor here. Our own reference makes the mount busy unless MNT_DETACH is among the flags. */
	result = SYS(umount2, link, op->flags);
	SYS(close, place);
	return result;
}

/* Opens the container's /dev/null, once. */
static int open_null_device(void)
{
	struct statx found;
	int fd;
	int result;

	if (null_device >= 0)
		return null_device;
	fd = open_path("/dev/null", O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	result = SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found);
	/* SECURITY: an image could bring something else by that name, to be bound over what is masked (CVE-2025-31133). */
	if (result == 0 &&
	    ((found.stx_mode & S_IFMT) != S_IFCHR || found.stx_rdev_major != 1 || found.stx_rdev_minor != 3))
		result = -ENODEV;
	if (result < 0) {
		SYS(close, fd);
		return result;
	}
	null_device = fd;
	return fd;
}

/* Hides the directory `place`. The first tmpfs is kept open and cloned for the others. */
static int mask_directory(int place)
{
	char inodes[] = "nr_inodes=2";
	char size[] = "size=4k";
	char *options[] = { inodes, size, NULL };
	int mount;
	int result;

	if (empty_mount < 0) {
		mount = new_mount("tmpfs", "tmpfs", options,
				  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
		result = mount < 0 ? mount : move_onto(mount, place);
		if (result == 0)
			empty_mount = mount;
		else
			close_fd(&mount);
		return result;
	}
	mount = clone_of(empty_mount, 0);
	if (mount < 0)
		return mount;
	result = move_onto(mount, place);
	SYS(close, mount);
	return result;
}

/* Hides `place`, which is no directory. */
static int mask_file(int place)
{
	int null = open_null_device();
	int mount = null < 0 ? null : clone_of(null, 0);
	int result;

	if (mount < 0)
		return mount;
	result = move_onto(mount, place);
	SYS(close, mount);
	return result;
}

int op_mask(const struct op_mask *op)
{
	struct statx found;
	int place = open_path(op->path, O_PATH);
	int result;

	if (place < 0)
		return place == -ENOENT || place == -ENOTDIR ? 0 : place;
	result = SYS(statx, place, "", AT_EMPTY_PATH, STATX_TYPE, &found);
	if (result == 0)
		result = (found.stx_mode & S_IFMT) == S_IFDIR ? mask_directory(place) : mask_file(place);
	SYS(close, place);
	return result;
}

int op_read_only(const struct op_read_only *op)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
	int place = open_path(op->path, O_PATH);
	int tree;
	int result;

	if (place < 0)
		return place == -ENOENT || place == -ENOTDIR ? 0 : place;
	tree = clone_of(place, AT_RECURSIVE);
	result = tree;
	if (tree >= 0)
		result = SYS(mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, SETATTR_SIZE);
	if (result == 0)
		result = move_onto(tree, place);
	close_fd(&tree);
	SYS(close, place);
	return result;
}

/* The new root is in place: opens it again as the working root. */
static int enter_new_root(void)
{
	int fd;
	int result = SYS(chdir, "/");

	if (result < 0)
		return result;
	fd = SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	SYS(close, self.root);
	self.root = fd;
	pivoted = true;
	return 0;
}

int op_pivot_root(const struct op_pivot_root *op UNUSED)
{
	int old;
	int result;

	if (self.root < 0)
		return -EBADF;
	old = SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (old < 0)
		return old;
	result = SYS(fchdir, self.root);
	/* pivot_root(2), "pivot_root(".", ".")": the old root lies over the new one afterwards. */
	if (result == 0)
		result = SYS(pivot_root, ".", ".");
	if (result == 0)
		result = SYS(fchdir, old);
	/* Before the unmount, which would otherwise be passed on to the host where the old root is shared. */
	if (result == 0)
		result = SYS(mount, NULL, ".", NULL, MS_SLAVE | MS_REC, NULL);
	if (result == 0)
		result = SYS(umount2, ".", UMOUNT_DETACH);
	SYS(close, old);
	return result < 0 ? result : enter_new_root();
}

int op_move_root(const struct op_move_root *op UNUSED)
{
	int result;

	if (self.root < 0)
		return -EBADF;
	result = SYS(fchdir, self.root);
	if (result == 0)
		result = SYS(mount, ".", "/", NULL, MS_MOVE, NULL);
	if (result == 0)
		result = SYS(chroot, ".");
	return result < 0 ? result : enter_new_root();
}
