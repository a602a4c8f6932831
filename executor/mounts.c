/* Mounts: descriptors all the way, so that what was resolved is what is mounted on. */
#include "executor.h"

#include <asm/statfs.h>

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

/* Opens the place where a mount shall go. */
static int open_place(const char *target, uint32_t flags)
{
	struct statfs found;
	int place = (flags & ATTACH_WITHOUT_LINKS) != 0 ? open_path_without_links(target, O_PATH)
							: open_path(target, O_PATH);
	int result;

	if (place < 0 || self.root < 0 || (flags & ATTACH_ON_PROC) != 0)
		return place;
	/* SECURITY: whoever covers files of /proc decides what the labels and limits written there do (CVE-2019-16884). */
	result = SYS(fstatfs, place, &found);
	if (result == 0 && found.f_type != FILE_SYSTEM_PROC)
		return place;
	SYS(close, place);
	return result < 0 ? result : -EXDEV;
}

/* Moves the detached `mount` to `target`, by ATTACH_* `flags`, and closes it; also when it is an error. */
int attach(int mount, const char *target, uint32_t flags)
{
	int detached OWNED = mount;
	int place OWNED = mount < 0 ? mount : open_place(target, flags);

	TRY(place);
	TRY(move_onto(mount, place));
	if (self.root < 0 || !names_root(target))
		return 0;
	/* Mounted over the working root, it is the working root: the handle would still be the one below. */
	SYS(close, self.root);
	self.root = mount;
	detached = -1;
	return 0;
}

/* Gives one `key` or `key=value` to the file system `context`; `option` is changed for the call alone. */
static int configure_one(int context, char *option)
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

/* Gives all of `options` to the file system `context`. */
int configure(int context, char **options)
{
	for (; *options != NULL; options++)
		TRY(configure_one(context, *options));
	return 0;
}

/* A new detached mount, or -errno. */
int new_mount(const char *fstype, const char *source, char **options, uint64_t attributes)
{
	int context OWNED = SYS(fsopen, fstype, FSOPEN_CLOEXEC);

	TRY(context);
	if (source[0] != '\0')
		TRY(SYS(fsconfig, context, FSCONFIG_SET_STRING, "source", source, 0));
	TRY(configure(context, options));
	TRY(SYS(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	return SYS(fsmount, context, FSMOUNT_CLOEXEC, attributes);
}

/* A detached clone of what is open as `fd`. */
static int clone_of(int fd, uint32_t flags)
{
	return SYS(open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
}

/* Moves a clone of what is open as `fd` onto `place`. */
int move_clone(int fd, int place)
{
	int clone OWNED = clone_of(fd, 0);

	TRY(clone);
	return move_onto(clone, place);
}

/* mount_setattr() on the open `mount`, and on those below it with `recursive`. */
int set_attributes(int mount, struct mount_attr *change, uint32_t recursive)
{
	return SYS(mount_setattr, mount, "", AT_EMPTY_PATH | (recursive != 0 ? AT_RECURSIVE : 0u), change, SETATTR_SIZE);
}

int op_mount(const struct op_mount *op)
{
	return attach(new_mount(op->fstype, op->source, op->options, op->attributes), op->target, 0);
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
	return attach(SYS(open_tree, AT_FDCWD, op->source, flags), op->target, 0);
}

int op_mount_attributes(const struct op_mount_attributes *op)
{
	struct mount_attr change = { .attr_set = op->set, .attr_clr = op->clear, .propagation = op->propagation };
	int place OWNED = open_path(op->target, O_PATH);

	TRY(place);
	return set_attributes(place, &change, op->recursive);
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

	if (self.root < 0 || pivoted)
		return SYS(umount2, op->target, op->flags);
	int place OWNED = open_path(op->target, O_PATH);
	TRY(place);
	link[14 + format_decimal(link + 14, (uint32_t)place)] = '\0';
	/* The kernel takes no descriptor here. Ours makes the mount busy unless MNT_DETACH is among the flags. */
	return SYS(umount2, link, op->flags);
}

/* Opens the container's /dev/null, once. */
static int open_null_device(void)
{
	struct statx found;

	if (null_device >= 0)
		return null_device;
	int fd OWNED = open_path("/dev/null", O_PATH | O_NOFOLLOW);
	TRY(fd);
	TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found));
	/* SECURITY: an image could bring something else by that name, to be bound over what is masked (CVE-2025-31133). */
	if ((found.stx_mode & S_IFMT) != S_IFCHR || found.stx_rdev_major != 1 || found.stx_rdev_minor != 3)
		return -ENODEV;
	null_device = fd;
	fd = -1;
	return null_device;
}

/* Hides the directory `place`. The first tmpfs is kept open and cloned for the others. */
static int mask_directory(int place)
{
	char inodes[] = "nr_inodes=2";
	char size[] = "size=4k";
	char *options[] = { inodes, size, NULL };

	if (empty_mount >= 0)
		return move_clone(empty_mount, place);
	int mount OWNED = new_mount("tmpfs", "tmpfs", options,
				    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	TRY(mount);
	TRY(move_onto(mount, place));
	empty_mount = mount;
	mount = -1;
	return 0;
}

int op_mask(const struct op_mask *op)
{
	struct statx found;
	int place OWNED = open_path(op->path, O_PATH);

	if (place == -ENOENT || place == -ENOTDIR)
		return 0;
	TRY(place);
	TRY(SYS(statx, place, "", AT_EMPTY_PATH, STATX_TYPE, &found));
	if ((found.stx_mode & S_IFMT) == S_IFDIR)
		return mask_directory(place);
	TRY(open_null_device());
	return move_clone(null_device, place);
}

int op_read_only(const struct op_read_only *op)
{
	struct mount_attr change = { .attr_set = MOUNT_ATTR_RDONLY };
	int place OWNED = open_path(op->path, O_PATH);

	if (place == -ENOENT || place == -ENOTDIR)
		return 0;
	TRY(place);
	int tree OWNED = clone_of(place, AT_RECURSIVE);
	TRY(tree);
	TRY(set_attributes(tree, &change, 1));
	return move_onto(tree, place);
}

/* The new root is in place: opens it again as the working root. */
static int enter_new_root(void)
{
	TRY(SYS(chdir, "/"));
	int fd = SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	TRY(fd);
	SYS(close, self.root);
	self.root = fd;
	pivoted = true;
	return 0;
}

int op_pivot_root(const struct op_pivot_root *op UNUSED)
{
	int old OWNED = SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	TRY(old);
	TRY(SYS(fchdir, self.root));
	/* pivot_root(2), "pivot_root(".", ".")": the old root lies over the new one afterwards. */
	TRY(SYS(pivot_root, ".", "."));
	TRY(SYS(fchdir, old));
	/* Before the unmount, which would otherwise be passed on to the host where the old root is shared. */
	TRY(SYS(mount, NULL, ".", NULL, MS_SLAVE | MS_REC, NULL));
	TRY(SYS(umount2, ".", UMOUNT_DETACH));
	return enter_new_root();
}

int op_change_root(const struct op_change_root *op UNUSED)
{
	TRY(SYS(fchdir, self.root));
	TRY(SYS(chroot, "."));
	return enter_new_root();
}

int op_move_root(const struct op_move_root *op UNUSED)
{
	TRY(SYS(fchdir, self.root));
	TRY(SYS(mount, ".", "/", NULL, MS_MOVE, NULL));
	TRY(SYS(chroot, "."));
	return enter_new_root();
}
