/* Mounts in parts: what is opened, made and changed while it lies nowhere, and attached at last. */
#include "executor.h"

#include <linux/prctl.h>

#define SLOT_COUNT 256

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

/* Descriptors plus one, so that what is not set is empty. */
static int slots[SLOT_COUNT];

/* What is in the slot; it stays there. -EBADF when it is empty. */
int find_slot(uint32_t number)
{
	return number < SLOT_COUNT && slots[number] != 0 ? slots[number] - 1 : -EBADF;
}

/* Takes what is in the slot, which is empty then. */
static int take_slot(uint32_t number)
{
	int fd = find_slot(number);

	if (fd >= 0)
		slots[number] = 0;
	return fd;
}

/* Puts `fd` into the empty slot, or closes it; also when it is an error. */
static int fill_slot(uint32_t number, int fd)
{
	int kept OWNED = fd;

	TRY(fd);
	if (number >= SLOT_COUNT || slots[number] != 0)
		return -EBADF;
	slots[number] = fd + 1;
	kept = -1;
	return 0;
}

/* Empties all slots. */
void forget_slots(void)
{
	for (uint32_t i = 0; i < SLOT_COUNT; i++) {
		int fd OWNED = take_slot(i);
	}
}

/* A detached clone of what is at the host path, or -errno. */
static int clone_source(const char *path, uint32_t recursive)
{
	return SYS(open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive != 0 ? AT_RECURSIVE : 0u));
}

int op_open_source(const struct op_open_source *op)
{
	struct mount_attr change = { .propagation = op->propagation };
	int clone OWNED = clone_source(op->path, op->recursive);
	int fd = clone;

	TRY(clone);
	if (op->propagation != 0)
		TRY(set_attributes(clone, &change, 1));
	clone = -1;
	return fill_slot(op->slot, fd);
}

/* The life of the process that only has a user namespace: until its maker lets go of the pipe, or ends. */
static void NORETURN stay_until_closed(const int *ends)
{
	char byte;

	SYS(close, ends[1]);
	SYS(read, ends[0], &byte, 1);
	quit(0);
}

/* Writes the maps of the process, then opens its user namespace. */
static int map_process(int pid, const struct op_user_namespace *op)
{
	TRY(write_once(open_process_file(pid, "uid_map", O_WRONLY), op->uid_map, strlen(op->uid_map)));
	TRY(write_once(open_process_file(pid, "gid_map", O_WRONLY), op->gid_map, strlen(op->gid_map)));
	return open_process_file(pid, "ns/user", O_RDONLY);
}

int op_user_namespace(const struct op_user_namespace *op)
{
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	int ends[2];
	int pid;
	int fd;

	TRY(SYS(pipe2, ends, O_CLOEXEC));
	/* As with `clone`: its maps would not be ours to write. */
	SYS(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	pid = SYS(clone3, &args, sizeof(args));
	if (pid == 0)
		stay_until_closed(ends);
	SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	fd = pid < 0 ? pid : map_process(pid, op);
	SYS(close, ends[0]);
	SYS(close, ends[1]);
	if (pid > 0)
		SYS(wait4, pid, NULL, 0, NULL);
	return fill_slot(op->slot, fd);
}

int op_open_user_namespace(const struct op_open_user_namespace *op)
{
	return fill_slot(op->slot, SYS(openat, AT_FDCWD, op->path, O_RDONLY | O_CLOEXEC, 0));
}

int op_id_map(const struct op_id_map *op)
{
	struct mount_attr change = { .attr_set = MOUNT_ATTR_IDMAP };
	int mount = find_slot(op->slot);
	int namespace = find_slot(op->namespace);

	TRY(mount);
	TRY(namespace);
	change.userns_fd = (uint32_t)namespace;
	return set_attributes(mount, &change, op->recursive);
}

int op_slot_attributes(const struct op_slot_attributes *op)
{
	struct mount_attr change = { .attr_set = op->set, .attr_clr = op->clear };
	int mount = find_slot(op->slot);

	TRY(mount);
	return set_attributes(mount, &change, op->recursive);
}

int op_attach(const struct op_attach *op)
{
	return attach(take_slot(op->slot), op->target, op->flags);
}

int op_new_filesystem(const struct op_new_filesystem *op)
{
	struct mount_attr change = { .attr_set = op->attributes };
	int mount = new_mount(op->fstype, op->source, op->options, op->attributes);

	if (mount != -EPERM || op->otherwise[0] == '\0')
		return fill_slot(op->slot, mount);
	int clone OWNED = clone_source(op->otherwise, 1);
	int fd = clone;

	TRY(clone);
	/* KERNEL: the access time may be locked by the user namespace that owns the mount; the others can be set always. */
	change.attr_set &= ~(uint64_t)MOUNT_ATTR__ATIME;
	/* SECURITY: all of them; cgroups below a read-only /sys must not stay writable (CVE-2023-25809). */
	TRY(set_attributes(clone, &change, 1));
	clone = -1;
	return fill_slot(op->slot, fd);
}

int op_reconfigure(const struct op_reconfigure *op)
{
	int place OWNED = open_path(op->target, O_PATH);
	int context OWNED = place < 0 ? place : SYS(fspick, place, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);

	TRY(context);
	TRY(configure(context, op->options));
	return SYS(fsconfig, context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
}
